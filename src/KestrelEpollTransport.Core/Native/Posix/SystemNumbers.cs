using System.Runtime.InteropServices;

namespace KestrelEpollTransport.Native.Posix;

/// <summary>
/// The numbers behind the names of POSIX, which differ from system to system. Immutable; one table a system.
/// </summary>
/// <remarks>
/// <para>The versions that the headers named in this folder and in Bsd were read in:</para>
/// <para>Darwin: xnu of Darwin 22.1 (macOS 13), apple-oss-distributions/xnu at 5c2921b; sys/errno.h at 94d3b45. What is
/// included from there, sys/ioccom.h and sys/_types/*: apple/darwin-xnu at 03489ce and 0a798f6.</para>
/// <para>FreeBSD: 13.0 (__FreeBSD_version 1300139), from a copy, sobomax/freebsd14_vendor at 0f7ff34; sys/_*.h, which are
/// included from there, at 4b33055 and 5836bb2.</para>
/// <para>Linux: 6.1, and glibc 2.36, as packaged by Debian 12. They hold for x64 and arm64.</para>
/// <para>Source of the tables: sys/socket.h, sys/fcntl.h, sys/filio.h with sys/ioccom.h; Linux: asm-generic/socket.h,
/// asm-generic/fcntl.h, linux/fcntl.h, asm-generic/ioctls.h, glibc's bits/socket.h and bits/socket_type.h. What all systems
/// share is a constant of <see cref="PosixCalls"/>.</para>
/// </remarks>
internal sealed record SystemNumbers
{
    public static SystemNumbers Linux { get; } = new()
    {
        Name = "Linux",
        Features = SystemFeatures.AbstractUnixSockets | SystemFeatures.MultipathTcp | SystemFeatures.StaleUnixSockets,
        Options = OptionNumber.OfLinux,
        AF_INET6 = 10,
        SOL_SOCKET = 1,
        SO_ERROR = 4,
        SO_LINGER = 13,
        SO_ACCEPTCONN = 30,
        SO_ATTACH_FILTER = 26,
        MSG_DONTWAIT = 0x40,
        MSG_NOSIGNAL = 0x4000,
        O_NONBLOCK = 0x800,
        F_DUPFD_CLOEXEC = 1030,
        FIONREAD = 0x541B,
        FIONWRITE = 0x5411,
        CreationFlags = 0x800 | 0x80000,
        IPPROTO_MPTCP = 262,
        O_CREAT = 0x40,
        O_CLOEXEC = 0x80000,
        // asm/fcntl.h of arm64 and arm has its own.
        O_NOFOLLOW = RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm ? 0x8000 : 0x20000,
    };

    public static SystemNumbers Darwin { get; } = new()
    {
        Name = "macOS",
        Options = OptionNumber.OfDarwin,
        AF_INET6 = 30,
        SOL_SOCKET = 0xffff,
        SO_ERROR = 0x1007,
        // Its time is in ticks here, and in seconds as SO_LINGER_SEC: 0 is 0.
        SO_LINGER = 0x0080,
        SO_ACCEPTCONN = 0x0002,
        SO_NOSIGPIPE = 0x1022,
        MSG_DONTWAIT = 0x80,
        O_NONBLOCK = 0x4,
        F_DUPFD_CLOEXEC = 67,
        FIONREAD = 0x4004667f,
        Errors = ErrnoMap.Darwin,
        VariadicOnStack = RuntimeInformation.ProcessArchitecture == Architecture.Arm64,
        AcceptsTheDead = true,
    };

    public static SystemNumbers FreeBsd { get; } = new()
    {
        Name = "FreeBSD",
        Options = OptionNumber.OfFreeBsd,
        AF_INET6 = 28,
        SOL_SOCKET = 0xffff,
        SO_ERROR = 0x1007,
        SO_LINGER = 0x0080,
        SO_ACCEPTCONN = 0x0002,
        MSG_DONTWAIT = 0x80,
        MSG_NOSIGNAL = 0x20000,
        O_NONBLOCK = 0x4,
        F_DUPFD_CLOEXEC = 17,
        FIONREAD = 0x4004667f,
        FIONWRITE = 0x40046677,
        CreationFlags = 0x20000000 | 0x10000000,
        Errors = ErrnoMap.FreeBsd,
    };

    /// <summary>The table of the system that this process runs on.</summary>
    public static SystemNumbers Current { get; } =
        OperatingSystem.IsMacOS() ? Darwin : OperatingSystem.IsFreeBSD() ? FreeBsd : Linux;

    /// <summary>The system, as its users call it.</summary>
    public required string Name { get; init; }

    /// <summary>What the transport offers and not every system has.</summary>
    public SystemFeatures Features { get; init; }

    /// <summary>The options that this system has, and where.</summary>
    public required IReadOnlyDictionary<KernelOption, OptionNumber> Options { get; init; }

#pragma warning disable CA1707 // The names of the manual.
    public required int AF_INET6 { get; init; }

    public required int SOL_SOCKET { get; init; }

    public required int SO_ERROR { get; init; }

    public required int SO_LINGER { get; init; }

    public required int SO_ACCEPTCONN { get; init; }

    /// <summary>0: a socket takes no filter, and a listening unix socket that is shut down may do anything.</summary>
    public int SO_ATTACH_FILTER { get; init; }

    /// <summary>0: sending takes <see cref="MSG_NOSIGNAL"/> instead.</summary>
    public int SO_NOSIGPIPE { get; init; }

    public required int MSG_DONTWAIT { get; init; }

    /// <summary>
    /// 0: the socket has <see cref="SO_NOSIGPIPE"/> instead. One of the two is there. Darwin 21.1 (macOS 12) and later
    /// have the flag too, 0x80000; not all before them do.
    /// </summary>
    public int MSG_NOSIGNAL { get; init; }

    public required int O_NONBLOCK { get; init; }

    public required int F_DUPFD_CLOEXEC { get; init; }

    public required nuint FIONREAD { get; init; }

    /// <summary>The bytes that are sent and not acknowledged; SIOCOUTQ on Linux, tcp(7). 0: the system has another way, and they are not asked for.</summary>
    public nuint FIONWRITE { get; init; }

    /// <summary>0: the system has no <see cref="SystemFeatures.MultipathTcp"/>.</summary>
    public int IPPROTO_MPTCP { get; init; }

    /// <summary>This and the next two: 0 where the system has no <see cref="SystemFeatures.StaleUnixSockets"/>, which alone needs them.</summary>
    public int O_CREAT { get; init; }

    public int O_CLOEXEC { get; init; }

    public int O_NOFOLLOW { get; init; }
#pragma warning restore CA1707

    /// <summary>SOCK_NONBLOCK and SOCK_CLOEXEC for socket(2) and accept4(2). 0: there are none, and no accept4.</summary>
    public int CreationFlags { get; init; }

    /// <summary>Null: the numbers are those of <see cref="Errno"/>.</summary>
    public ErrnoMap? Errors { get; init; }

    /// <summary>Whether a variadic argument is on the stack and not in a register.</summary>
    public bool VariadicOnStack { get; init; }

    /// <summary>
    /// Whether accept(2) may return a connection that was reset before, without an address, where others return
    /// ECONNABORTED.
    /// </summary>
    public bool AcceptsTheDead { get; init; }

    /// <summary>The <see cref="Errno"/> for an error number of this system.</summary>
    public int ToErrno(int native) => Errors is null ? native : Errors.ToErrno(native);
}
