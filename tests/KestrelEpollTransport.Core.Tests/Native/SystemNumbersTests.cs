using System.Reflection;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Posix;

namespace KestrelEpollTransport.Tests.Native;

/// <summary>The BSDs' error numbers against their headers.</summary>
public class SystemNumbersTests
{
    // Name, FreeBSD, macOS. Those up to 34 are the same and Linux's too.
    // Source: sys/errno.h, versions as of SystemNumbers.
    private static readonly (string Name, int FreeBsd, int Darwin)[] s_errors =
    [
        ("EPERM", 1, 1), ("ENOENT", 2, 2), ("EINTR", 4, 4), ("EBADF", 9, 9), ("ENOMEM", 12, 12), ("EACCES", 13, 13),
        ("EFAULT", 14, 14), ("EINVAL", 22, 22), ("ENFILE", 23, 23), ("EMFILE", 24, 24), ("EPIPE", 32, 32),
        ("EAGAIN", 35, 35), ("EINPROGRESS", 36, 36), ("EALREADY", 37, 37), ("ENOTSOCK", 38, 38), ("EDESTADDRREQ", 39, 39),
        ("EMSGSIZE", 40, 40), ("EPROTOTYPE", 41, 41), ("ENOPROTOOPT", 42, 42), ("EOPNOTSUPP", 45, 102), ("EAFNOSUPPORT", 47, 47),
        ("EADDRINUSE", 48, 48), ("EADDRNOTAVAIL", 49, 49), ("ENETDOWN", 50, 50), ("ENETUNREACH", 51, 51),
        ("ECONNABORTED", 53, 53), ("ECONNRESET", 54, 54), ("ENOBUFS", 55, 55), ("EISCONN", 56, 56), ("ENOTCONN", 57, 57),
        ("ETIMEDOUT", 60, 60), ("ECONNREFUSED", 61, 61), ("EHOSTDOWN", 64, 64), ("EHOSTUNREACH", 65, 65), ("EPROTO", 92, 100),
    ];

    private static readonly Dictionary<string, int> s_known = typeof(Errno)
        .GetFields(BindingFlags.Static | BindingFlags.Public)
        .Where(field => field.IsLiteral)
        .ToDictionary(field => field.Name, field => (int)field.GetRawConstantValue()!);

    [Fact]
    public void Errors_ThatTheCodeDecidesOn_AreTranslatedFromEachSystem()
    {
        Assert.Equal(s_known.Keys.Order(StringComparer.Ordinal), s_errors.Select(error => error.Name).Order(StringComparer.Ordinal));
        foreach ((string name, int freeBsd, int darwin) in s_errors)
        {
            Assert.True(s_known[name] == SystemNumbers.FreeBsd.ToErrno(freeBsd), name);
            Assert.True(s_known[name] == SystemNumbers.Darwin.ToErrno(darwin), name);
            Assert.True(s_known[name] == SystemNumbers.Linux.ToErrno(s_known[name]), name);
        }
    }

    [Fact]
    public void Errors_ThatMeanSomethingElse_AreTakenForNoneThatTheCodeKnows()
    {
        // 11 is EDEADLK there and EAGAIN here: a descriptor would be waited for that has an error.
        Assert.False(IoResult.Failure(SystemNumbers.FreeBsd.ToErrno(11)).WouldBlock);
        Assert.True(IoResult.Failure(SystemNumbers.FreeBsd.ToErrno(35)).WouldBlock);
        foreach (SystemNumbers system in (SystemNumbers[])[SystemNumbers.FreeBsd, SystemNumbers.Darwin])
        {
            int[] own = [.. s_errors.Select(error => system == SystemNumbers.Darwin ? error.Darwin : error.FreeBsd)];
            for (int native = 35; native < 500; native++)
            {
                // ENOTSUP (45) of macOS is what some of its calls say for EOPNOTSUPP, ESHUTDOWN (58) is a kind of EPIPE.
                if (!own.Contains(native) && native is not (45 or 58))
                {
                    Assert.DoesNotContain(system.ToErrno(native), s_known.Values);
                }
            }
        }

        Assert.Equal(AcceptError.OneConnection, AcceptFailures.Classify(SystemNumbers.FreeBsd.ToErrno(11)));
        Assert.NotNull(Errno.ToException(SystemNumbers.FreeBsd.ToErrno(11)));
    }

    [Fact]
    public void EachSystem_SuppressesTheSignalOfABrokenPipeInOneOfTheTwoWays() =>
        Assert.All(
            (SystemNumbers[])[SystemNumbers.Linux, SystemNumbers.Darwin, SystemNumbers.FreeBsd],
            system => Assert.True((system.MSG_NOSIGNAL != 0) ^ (system.SO_NOSIGPIPE != 0), system.Name));
}
