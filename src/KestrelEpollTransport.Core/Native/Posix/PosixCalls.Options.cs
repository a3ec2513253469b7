using System.Net.Sockets;

namespace KestrelEpollTransport.Native.Posix;

/// <content>What is set or asked once a socket, or on demand: one implementation for every system, as no request waits for it.</content>
internal static unsafe partial class PosixCalls
{
    // sys/file.h, the same on each of the systems.
    private const int LOCK_EX = 2;
    private const int LOCK_NB = 4;
    private const int O_RDONLY = 0;
    private const int O_RDWR = 2;

    /// <summary>For the owner alone: to open a file is enough to lock it.</summary>
    private const uint OwnerOnly = 0b110_000_000;

    public static bool HasOption(KernelOption option) => s_numbers.Options.ContainsKey(option);

    public static IoResult SetOption(int descriptor, KernelOption option, ReadOnlySpan<byte> value)
    {
        if (!s_numbers.Options.TryGetValue(option, out OptionNumber number))
        {
            return IoResult.Failure(Errno.ENOPROTOOPT);
        }

        fixed (byte* pointer = value)
        {
            return Result(LibraryCalls.SetSocketOption(descriptor, number.Level, number.Number, pointer, (uint)value.Length));
        }
    }

    /// <summary>Returns how many bytes of <paramref name="value"/> the kernel has written.</summary>
    public static IoResult GetOption(int descriptor, KernelOption option, Span<byte> value)
    {
        if (!s_numbers.Options.TryGetValue(option, out OptionNumber number))
        {
            return IoResult.Failure(Errno.ENOPROTOOPT);
        }

        uint length = (uint)value.Length;
        fixed (byte* pointer = value)
        {
            IoResult result = Result(LibraryCalls.GetSocketOption(descriptor, number.Level, number.Number, pointer, &length));
            return result.IsError ? result : IoResult.Success(length);
        }
    }

    public static IoResult CreateMultipathStream(AddressFamily family)
    {
        int number = family == AddressFamily.InterNetwork ? AF_INET : s_numbers.AF_INET6;
        return Result(LibraryCalls.Socket(number, SOCK_STREAM | s_numbers.CreationFlags, s_numbers.IPPROTO_MPTCP));
    }

    public static IoResult SetFileMode(string path, UnixFileMode mode) => Result(LibraryCalls.ChangeMode(path, (uint)mode));

    public static IoResult RemoveFile(string path) => Result(LibraryCalls.Unlink(path));

    public static IoResult LockFile(string path)
    {
        // No link: in a folder that everybody may write to, it could lead to any file of ours.
        IoResult opened = Result(LibraryCalls.Open(path, O_RDWR | s_numbers.O_CREAT | s_numbers.O_CLOEXEC | s_numbers.O_NOFOLLOW, OwnerOnly));
        if (opened.IsError)
        {
            return opened;
        }

        IoResult locked = Result(LibraryCalls.Lock((int)opened.Value, LOCK_EX | LOCK_NB));
        if (locked.IsError)
        {
            Close((int)opened.Value);
            return locked;
        }

        return opened;
    }

    public static bool IsSocketFile(string path)
    {
        // open(2) of a socket fails with ENXIO, of anything else it does not, or fails otherwise (ELOOP: a link). stat(2) would say it more plainly,
        // in a structure that each system and architecture lays out differently. O_NONBLOCK: a pipe's open would wait for a writer.
        IoResult opened = Result(LibraryCalls.Open(path, O_RDONLY | s_numbers.O_NONBLOCK | s_numbers.O_CLOEXEC | s_numbers.O_NOFOLLOW, 0));
        if (!opened.IsError)
        {
            Close((int)opened.Value);
        }

        return opened.Errno == Errno.ENXIO;
    }
}
