namespace KestrelEpollTransport.Native.Posix;

/// <summary>Where a system has a <see cref="KernelOption"/>: its level and its number there. The tables of the systems.</summary>
/// <remarks>
/// Source: Linux: asm-generic/socket.h, linux/in.h, linux/in6.h, linux/tcp.h; Darwin and FreeBSD: sys/socket.h, netinet/tcp.h; versions as of
/// <see cref="SystemNumbers"/>. What a table does not have is refused by name before it is set, also where the system has something like it
/// under another meaning: SO_REUSEPORT of the BSDs does not distribute connections.
/// </remarks>
internal readonly record struct OptionNumber(int Level, int Number)
{
    // The same everywhere: netinet/in.h.
    private const int IPPROTO_IP = 0;
    private const int IPPROTO_TCP = 6;
    private const int IPPROTO_IPV6 = 41;

    public static Dictionary<KernelOption, OptionNumber> OfLinux { get; } = new()
    {
        [KernelOption.SO_REUSEADDR] = new(1, 2),
        [KernelOption.SO_SNDBUF] = new(1, 7),
        [KernelOption.SO_RCVBUF] = new(1, 8),
        [KernelOption.SO_KEEPALIVE] = new(1, 9),
        [KernelOption.SO_REUSEPORT] = new(1, 15),
        [KernelOption.SO_PEERCRED] = new(1, 17),
        [KernelOption.SO_BUSY_POLL] = new(1, 46),
        [KernelOption.IP_TOS] = new(IPPROTO_IP, 1),
        [KernelOption.IP_FREEBIND] = new(IPPROTO_IP, 15),
        [KernelOption.IP_TRANSPARENT] = new(IPPROTO_IP, 19),
        [KernelOption.IPV6_TCLASS] = new(IPPROTO_IPV6, 67),
        [KernelOption.TCP_KEEPIDLE] = new(IPPROTO_TCP, 4),
        [KernelOption.TCP_KEEPINTVL] = new(IPPROTO_TCP, 5),
        [KernelOption.TCP_KEEPCNT] = new(IPPROTO_TCP, 6),
        [KernelOption.TCP_DEFER_ACCEPT] = new(IPPROTO_TCP, 9),
        [KernelOption.TCP_INFO] = new(IPPROTO_TCP, 11),
        [KernelOption.TCP_QUICKACK] = new(IPPROTO_TCP, 12),
        [KernelOption.TCP_CONGESTION] = new(IPPROTO_TCP, 13),
        [KernelOption.TCP_USER_TIMEOUT] = new(IPPROTO_TCP, 18),
        [KernelOption.TCP_FASTOPEN] = new(IPPROTO_TCP, 23),
        [KernelOption.TCP_NOTSENT_LOWAT] = new(IPPROTO_TCP, 25),
    };

    public static Dictionary<KernelOption, OptionNumber> OfDarwin { get; } = new(OfBsd)
    {
        // TCP_KEEPALIVE is its name here.
        [KernelOption.TCP_KEEPIDLE] = new(IPPROTO_TCP, 0x10),
        [KernelOption.TCP_KEEPINTVL] = new(IPPROTO_TCP, 0x101),
        [KernelOption.TCP_KEEPCNT] = new(IPPROTO_TCP, 0x102),
    };

    public static Dictionary<KernelOption, OptionNumber> OfFreeBsd { get; } = new(OfBsd)
    {
        [KernelOption.TCP_KEEPIDLE] = new(IPPROTO_TCP, 256),
        [KernelOption.TCP_KEEPINTVL] = new(IPPROTO_TCP, 512),
        [KernelOption.TCP_KEEPCNT] = new(IPPROTO_TCP, 1024),
    };

    private static Dictionary<KernelOption, OptionNumber> OfBsd => new()
    {
        [KernelOption.SO_REUSEADDR] = new(0xffff, 0x0004),
        [KernelOption.SO_KEEPALIVE] = new(0xffff, 0x0008),
        [KernelOption.SO_SNDBUF] = new(0xffff, 0x1001),
        [KernelOption.SO_RCVBUF] = new(0xffff, 0x1002),
    };
}
