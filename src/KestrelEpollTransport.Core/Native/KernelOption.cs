namespace KestrelEpollTransport.Native;

/// <summary>The options of getsockopt(2) and setsockopt(2) that the transport sets or asks for, by the names of the manual.</summary>
#pragma warning disable CA1707 // The names of the manual.
internal enum KernelOption
{
    SO_KEEPALIVE,
    SO_SNDBUF,
    SO_RCVBUF,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SO_BUSY_POLL,
    SO_PEERCRED,
    IP_TOS,
    IP_FREEBIND,
    IP_TRANSPARENT,
    IPV6_TCLASS,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_KEEPCNT,
    TCP_DEFER_ACCEPT,
    TCP_INFO,
    TCP_QUICKACK,
    TCP_CONGESTION,
    TCP_USER_TIMEOUT,
    TCP_FASTOPEN,
    TCP_NOTSENT_LOWAT,
}
#pragma warning restore CA1707
