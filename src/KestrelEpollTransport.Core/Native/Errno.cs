using System.Net.Sockets;

namespace KestrelEpollTransport.Native;

/// <summary>
/// The error numbers that this code decides on, and the one place where an error number becomes an exception.
/// </summary>
/// <remarks>
/// Above the system calls an error has one number on every system: Linux's. Where the system has other numbers (EAGAIN is
/// 35 on the BSDs, and 11 is EDEADLK there) they are translated as a call returns, and only when it failed.
/// </remarks>
internal static class Errno
{
    // asm-generic/errno-base.h and asm-generic/errno.h: the same on every architecture that Tmds.LibC serves.
    // Constants, because LibC exposes them as properties, which patterns can't use, and loads on Linux only.
    public const int EPERM = 1;
    public const int ENOENT = 2;
    public const int EINTR = 4;
    public const int EBADF = 9;
    public const int EAGAIN = 11;
    public const int ENOMEM = 12;
    public const int EACCES = 13;
    public const int EFAULT = 14;
    public const int EINVAL = 22;
    public const int ENFILE = 23;
    public const int EMFILE = 24;
    public const int EPIPE = 32;
    public const int EPROTO = 71;
    public const int ENOTSOCK = 88;
    public const int EDESTADDRREQ = 89;
    public const int EMSGSIZE = 90;
    public const int EPROTOTYPE = 91;
    public const int ENOPROTOOPT = 92;
    public const int EOPNOTSUPP = 95;
    public const int EAFNOSUPPORT = 97;
    public const int EADDRINUSE = 98;
    public const int EADDRNOTAVAIL = 99;
    public const int ENETDOWN = 100;
    public const int ENETUNREACH = 101;
    public const int ECONNABORTED = 103;
    public const int ECONNRESET = 104;
    public const int ENOBUFS = 105;
    public const int EISCONN = 106;
    public const int ENOTCONN = 107;
    public const int ETIMEDOUT = 110;
    public const int ECONNREFUSED = 111;
    public const int EHOSTDOWN = 112;
    public const int EHOSTUNREACH = 113;
    public const int EALREADY = 114;
    public const int EINPROGRESS = 115;

    // Above every error number of every system, as errno(3) and intro(2) list them.
    private const int ForeignOffset = 10_000;

    /// <summary>A system's own number that means none of the above, and must not be taken for one of them.</summary>
    public static int Foreign(int native) => ForeignOffset + native;

    /// <summary>
    /// The exception that <see cref="Socket"/> would have thrown for the same error. Its text is another one where <see cref="Socket"/> has one code
    /// for two errors, and that of the system's limit for the process's.
    /// </summary>
    public static SocketException ToException(int errno) => errno switch
    {
        EMFILE => new((int)SocketError.TooManyOpenSockets, "Too many open files in this process (EMFILE): raise its limit (\"ulimit -n\", LimitNOFILE= of a unit)"),
        ENFILE => new((int)SocketError.TooManyOpenSockets, "Too many open files in the whole system (ENFILE): raise its limit (the sysctl fs.file-max)"),
        _ => new((int)ToSocketError(errno)),
    };

    /// <summary>The same error, said of <paramref name="what"/>: for calls that <see cref="Socket"/> does not make.</summary>
    public static SocketException ToException(int errno, string what)
    {
        SocketException exception = ToException(errno);
        return new SocketException((int)exception.SocketErrorCode, $"{what}: {exception.Message} (errno {errno}).");
    }

    private static SocketError ToSocketError(int errno) => errno switch
    {
        EPERM or EACCES => SocketError.AccessDenied,
        // A path that does not exist: .NET gives it this code, for bind and connect alike.
        ENOENT or EADDRNOTAVAIL => SocketError.AddressNotAvailable,
        EINTR => SocketError.Interrupted,
        EBADF => SocketError.OperationAborted,
        EAGAIN => SocketError.WouldBlock,
        ENOMEM or ENOBUFS => SocketError.NoBufferSpaceAvailable,
        EFAULT => SocketError.Fault,
        EINVAL => SocketError.InvalidArgument,
        EPIPE => SocketError.Shutdown,
        ENOTSOCK => SocketError.NotSocket,
        EDESTADDRREQ => SocketError.DestinationAddressRequired,
        EMSGSIZE => SocketError.MessageSize,
        EPROTOTYPE => SocketError.ProtocolType,
        ENOPROTOOPT => SocketError.ProtocolOption,
        EOPNOTSUPP => SocketError.OperationNotSupported,
        EAFNOSUPPORT => SocketError.AddressFamilyNotSupported,
        EADDRINUSE => SocketError.AddressAlreadyInUse,
        ENETDOWN => SocketError.NetworkDown,
        ENETUNREACH => SocketError.NetworkUnreachable,
        ECONNABORTED => SocketError.ConnectionAborted,
        ECONNRESET => SocketError.ConnectionReset,
        EISCONN => SocketError.IsConnected,
        ENOTCONN => SocketError.NotConnected,
        ETIMEDOUT => SocketError.TimedOut,
        ECONNREFUSED => SocketError.ConnectionRefused,
        EHOSTDOWN => SocketError.HostDown,
        EHOSTUNREACH => SocketError.HostUnreachable,
        EALREADY => SocketError.AlreadyInProgress,
        EINPROGRESS => SocketError.InProgress,
        _ => SocketError.SocketError,
    };
}
