using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Native;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>
/// Options of the kernel's for the sockets of the transport: <see cref="EpollTransportOptions.Sockets"/>. Each is null by default: the kernel's
/// default stays, and nothing is called. Like the others they are read, and checked, once: when the transport is made.
/// </summary>
/// <remarks>
/// <para>On Linux, accepted sockets inherit what is set on the socket that listens, unless a property says otherwise: one call an endpoint, none
/// a connection. Connections that <see cref="EpollConnectionFactory"/> makes have the same set before they connect, apart from what is
/// for sockets that listen; sockets that are given to <see cref="EpollConnectionContextFactory"/> stay as they are.</para>
/// <para>What TCP means is not set on unix sockets. An option that the system does not have is refused when an endpoint is bound or connected to, by a
/// <see cref="PlatformNotSupportedException"/> that names it; one that the kernel refuses by a <see cref="SocketException"/> that names it, its
/// value and the reason. The kernel versions are Linux's.</para>
/// </remarks>
public sealed class EpollSocketOptions
{
    private const int MaxKeepAlive = 32_767;
    private const int MaxKeepAliveRetries = 127;
    private const int MaxCongestionControlName = 15;
    private const int MaxDscp = 63;

    /// <summary>
    /// A send of the transport's is 32 KiB at most on a unix socket, and is to be one message of the kernel's, which forgets a reset between two
    /// of one send. A message is at most half of what the kernel makes of the number, less 64 bytes (unix_stream_sendmsg).
    /// </summary>
    private const int MinUnixSendBuffer = (32 * 1024) + 512;

    private const UnixFileMode Permissions = (UnixFileMode)0b111_111_111;

    private static readonly TimeSpan s_second = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_millisecond = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan s_microsecond = TimeSpan.FromMicroseconds(1);

    /// <summary>
    /// Whether TCP asks an idle peer whether it is still there, and ends the connection if it is not: SO_KEEPALIVE, socket(7). Kernel default: no.
    /// Inherited. Also on macOS and FreeBSD, as are the three that follow.
    /// </summary>
    public bool? KeepAlive { get; set; }

    /// <summary>
    /// How long a connection is idle before it is asked, where <see cref="KeepAlive"/> is true: TCP_KEEPIDLE, tcp(7), since 2.4. Kernel default: 2 hours
    /// (<c>net.ipv4.tcp_keepalive_time</c>). Inherited. Limits: 1 to 32,767 whole seconds.
    /// </summary>
    public TimeSpan? KeepAliveTime { get; set; }

    /// <summary>
    /// The time between two questions: TCP_KEEPINTVL, tcp(7), since 2.4. Kernel default: 75 seconds (<c>net.ipv4.tcp_keepalive_intvl</c>). Inherited.
    /// Limits: 1 to 32,767 whole seconds.
    /// </summary>
    public TimeSpan? KeepAliveInterval { get; set; }

    /// <summary>
    /// How many questions in succession may stay without an answer: TCP_KEEPCNT, tcp(7), since 2.4. Kernel default: 9
    /// (<c>net.ipv4.tcp_keepalive_probes</c>). Inherited. Limits: 1 to 127.
    /// </summary>
    public int? KeepAliveRetryCount { get; set; }

    /// <summary>
    /// How long data that was sent may stay without an acknowledgement, or wait for a window, before the connection ends with a time-out; with
    /// <see cref="KeepAlive"/> it replaces the number of questions, too. TCP_USER_TIMEOUT, tcp(7), since 2.6.37. Kernel default: up to about 15 minutes, by
    /// <c>net.ipv4.tcp_retries2</c>. Inherited; not for <see cref="Multipath"/>. Limits: 1 ms to 2,147,483,647 ms, whole milliseconds.
    /// </summary>
    public TimeSpan? UserTimeout { get; set; }

    /// <summary>
    /// How many bytes that are not sent yet the kernel holds for a connection before it takes no more: TCP_NOTSENT_LOWAT, tcp(7), since 3.12.
    /// What waits in the transport's own buffers instead can still be put behind something more urgent, by HTTP/2 for one. Kernel default: no
    /// limit but the send buffer's (<c>net.ipv4.tcp_notsent_lowat</c>). Inherited; with <see cref="Multipath"/> one call a connection. Limit:
    /// positive.
    /// </summary>
    public int? NotSentLowWatermark { get; set; }

    /// <summary>
    /// How many connections that came with data in their first segment (TCP Fast Open, RFC 7413) may wait for the end of their handshake:
    /// TCP_FASTOPEN, tcp(7), since 3.7 for servers. The kernel lets them in only where bit 1 of <c>net.ipv4.tcp_fastopen</c> is set, too (its
    /// default is 1: clients only), and caps the length at <c>net.core.somaxconn</c>. Data may arrive twice: for requests that may be repeated
    /// only. Kernel default: none. For the socket that listens. Limit: positive.
    /// </summary>
    public int? FastOpenQueueLength { get; set; }

    /// <summary>
    /// A connection is accepted when its first data is there, or after about this time: TCP_DEFER_ACCEPT, tcp(7), since 2.4. The kernel rounds
    /// up to the times at which it would repeat its part of the handshake: 1, 3, 7, 15, 31... seconds. For protocols in which the client speaks
    /// first. Kernel default: at once. For the socket that listens. Limits: 1 second to 1 hour, whole seconds.
    /// </summary>
    public TimeSpan? DeferAccept { get; set; }

    /// <summary>
    /// Whether a connection begins with acknowledging each segment at once: TCP_QUICKACK, tcp(7), since 2.4.4. The kernel goes back to delaying
    /// them, or not, as it sees fit; it begins with some quick ones anyway. Kernel default: by itself. Not inherited: one call a connection. Not for
    /// <see cref="Multipath"/>.
    /// </summary>
    public bool? QuickAck { get; set; }

    /// <summary>
    /// The bytes that the kernel holds of what a connection sends: SO_SNDBUF, socket(7). It doubles the number for its own needs, caps it at
    /// <c>net.core.wmem_max</c>, and no longer adapts it to the path. Kernel default: adapted, from 16 KiB up to 4 MiB
    /// (<c>net.ipv4.tcp_wmem</c>); unix sockets: <c>net.core.wmem_default</c>. Inherited; on unix sockets one call a connection, and at least
    /// 33,280. Limit: positive. Also on macOS and FreeBSD.
    /// </summary>
    public int? SendBufferSize { get; set; }

    /// <summary>
    /// The bytes that the kernel holds of what a TCP connection receives, and so the window: SO_RCVBUF, socket(7). It doubles the number, caps
    /// it at <c>net.core.rmem_max</c>, and no longer adapts it. Kernel default: adapted, from 128 KiB up to 6 MiB (<c>net.ipv4.tcp_rmem</c>).
    /// Inherited. Has no effect on unix sockets, unix(7), and is not set there. Limit: positive. Also on macOS and FreeBSD.
    /// </summary>
    public int? ReceiveBufferSize { get; set; }

    /// <summary>
    /// Whether several sockets, each with this option and of the same user, may listen on one address, among which the kernel distributes new
    /// connections: SO_REUSEPORT, socket(7), since 3.9. Another server on the port is no error then. When one of them closes, connections in its
    /// queue are reset, unless <c>net.ipv4.tcp_migrate_req</c> (5.14) is set. Kernel default: no. For the socket that listens, before it is
    /// bound.
    /// </summary>
    public bool? ReusePort { get; set; }

    /// <summary>
    /// Whether an address may be bound that the machine does not have, or not yet: IP_FREEBIND, ip(7), since 2.4, for IPv6 as well. Kernel default: no
    /// (<c>net.ipv4.ip_nonlocal_bind</c>). For the socket that listens, before it is bound.
    /// </summary>
    public bool? FreeBind { get; set; }

    /// <summary>
    /// Whether connections to foreign addresses, which the routing or a TPROXY rule leads here, are accepted: IP_TRANSPARENT, ip(7), since
    /// 2.6.24, for IPv6 as well. Their local end point is that address. Needs CAP_NET_ADMIN. Kernel default: no. Inherited; set before the
    /// socket that listens is bound.
    /// </summary>
    public bool? Transparent { get; set; }

    /// <summary>
    /// How long a receive that finds nothing polls the network device's queue: SO_BUSY_POLL, socket(7), since 3.11. Only where the device's
    /// driver takes part, and a receive of the transport never waits: it polls once. More than the present value needs CAP_NET_ADMIN,
    /// but not on every kernel: 6.18 grants it. Kernel default: 0 (<c>net.core.busy_read</c>). Inherited; with <see cref="Multipath"/> one call a
    /// connection. Limits: 0 to 1 second, whole microseconds.
    /// </summary>
    public TimeSpan? BusyPoll { get; set; }

    /// <summary>
    /// The differentiated services code point (RFC 2474) of what is sent, such as 46 for expedited forwarding: the upper six bits of IP_TOS,
    /// ip(7), and on IPv6 sockets of IPV6_TCLASS, ipv6(7), as well. The other two are TCP's (ECN). Kernel default: 0. Inherited. Not for
    /// <see cref="Multipath"/> on IPv6 sockets. Limits: 0 to 63.
    /// </summary>
    public int? Dscp { get; set; }

    /// <summary>
    /// The congestion control algorithm: TCP_CONGESTION, tcp(7), since 2.6.13: one of <c>net.ipv4.tcp_available_congestion_control</c>, and
    /// without CAP_NET_ADMIN one of <c>net.ipv4.tcp_allowed_congestion_control</c>. Kernel default: <c>net.ipv4.tcp_congestion_control</c>,
    /// mostly cubic. Inherited. Limits: 1 to 15 printable ASCII characters.
    /// </summary>
    public string? CongestionControl { get; set; }

    /// <summary>
    /// Whether sockets that listen accept Multipath TCP (RFC 8684) as well: IPPROTO_MPTCP, mptcp(7), since 5.6, and 5.17 with
    /// <see cref="EpollTransportOptions.NoDelay"/>. A client without it gets plain TCP, at no further cost. Kernel default: no; it must not be switched off
    /// by <c>net.mptcp.enabled</c>. Of the options here the kernel has some for plain TCP only; they say so, for Linux 6.18. Older kernels
    /// refuse more of them, such as the times of keep-alive.
    /// </summary>
    public bool? Multipath { get; set; }

    /// <summary>
    /// The permissions of the file of a unix socket, chmod(2): whoever may write to it may connect, unix(7). Set before the socket listens, so
    /// that nobody can connect under other ones. Default: 0777 without the umask. Limits: the nine bits of owner, group and others. Not for
    /// abstract names and inherited descriptors. On every system. It is set by the path: in a folder that others may write to, they could
    /// have put something else there.
    /// </summary>
    public UnixFileMode? UnixFileMode { get; set; }

    /// <summary>
    /// Whether the file that a server left at a unix socket's path when it was killed is removed before the path is bound. Only where nobody listens
    /// there: it is tried by connecting. Never anything but a socket's file. Linux only: elsewhere a server whose backlog is full refuses
    /// like one that is gone. Default: <see langword="false"/>: the address is in use then.
    /// </summary>
    /// <remarks>
    /// Servers that have this option never remove each other's files: each holds a lock, flock(2), on the file <c>path.lock</c> for as long as
    /// it listens, and one that does not get it reports that the address is in use. The file of the lock stays. A server without the option, of
    /// whatever make, can't be told from one that was killed while it has bound the path and does not listen yet, or where it takes the path
    /// while we look.
    /// </remarks>
    public bool RemoveStaleUnixSocket { get; set; }

    /// <summary>
    /// Is called with the socket of each accepted connection, TCP or unix, before the application gets the connection: for options that are not
    /// here. Default: null. Costs a <see cref="Socket"/> and a few system calls a connection.
    /// </summary>
    /// <remarks>
    /// It runs on a thread of the connection's loop, several of them at a time, and must not block. The descriptor stays the transport's: the
    /// socket can be used until the function returns, for setting and reading options and addresses, not for sending or receiving. Disposing it
    /// refuses the connection, which is reset. So does an exception, which is logged as a warning, a few times a minute at most.
    /// </remarks>
    public Action<Socket>? ConfigureAcceptedSocket { get; set; }

    /// <summary>
    /// As <see cref="EpollTransportOptions.CreateDefaultBoundListenSocket"/>, with the options that have to be set before a socket is bound:
    /// <see cref="Multipath"/>, <see cref="ReusePort"/>, <see cref="FreeBind"/> and <see cref="Transparent"/>. For a
    /// <see cref="EpollTransportOptions.CreateBoundListenSocket"/> that adds to it; the transport sets all others on whatever that returns.
    /// </summary>
    /// <param name="endpoint">What to bind.</param>
    /// <returns>A bound socket that does not listen yet.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="endpoint"/> is null.</exception>
    /// <exception cref="OptionsValidationException">Options are outside their limits; it names each of them.</exception>
    /// <exception cref="PlatformNotSupportedException">The system does not have an option.</exception>
    /// <exception cref="SocketException">The socket can't be created or bound, or the kernel refused an option.</exception>
    public Socket CreateBoundListenSocket(EndPoint endpoint)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        FindErrors().ThrowIfAny(typeof(EpollSocketOptions));
        SocketSettings settings = ToSettings();
        SystemFeatureChecks.Check(settings);
        return ListenSocket.CreateBound(endpoint, settings);
    }

    /// <summary>A copy with the values of this moment.</summary>
    internal EpollSocketOptions Snapshot() => (EpollSocketOptions)MemberwiseClone();

    internal OptionErrors FindErrors()
    {
        OptionErrors errors = new($"{nameof(EpollTransportOptions)}.{nameof(EpollTransportOptions.Sockets)}");
        errors.Require(IsWhole(KeepAliveTime, s_second, 1, MaxKeepAlive), nameof(KeepAliveTime), KeepAliveTime, "must be null or from 1 to 32,767 whole seconds");
        errors.Require(IsWhole(KeepAliveInterval, s_second, 1, MaxKeepAlive), nameof(KeepAliveInterval), KeepAliveInterval, "must be null or from 1 to 32,767 whole seconds");
        errors.Require(KeepAliveRetryCount is null or (>= 1 and <= MaxKeepAliveRetries), nameof(KeepAliveRetryCount), KeepAliveRetryCount, "must be null or from 1 to 127");
        errors.Require(IsWhole(UserTimeout, s_millisecond, 1, int.MaxValue), nameof(UserTimeout), UserTimeout, "must be null or from 1 to 2,147,483,647 whole milliseconds");
        errors.Require(NotSentLowWatermark is null or > 0, nameof(NotSentLowWatermark), NotSentLowWatermark, "must be null or positive");
        errors.Require(FastOpenQueueLength is null or > 0, nameof(FastOpenQueueLength), FastOpenQueueLength, "must be null or positive");
        errors.Require(IsWhole(DeferAccept, s_second, 1, 3_600), nameof(DeferAccept), DeferAccept, "must be null or from 1 to 3,600 whole seconds");
        errors.Require(SendBufferSize is null or > 0, nameof(SendBufferSize), SendBufferSize, "must be null or positive");
        errors.Require(ReceiveBufferSize is null or > 0, nameof(ReceiveBufferSize), ReceiveBufferSize, "must be null or positive");
        errors.Require(IsWhole(BusyPoll, s_microsecond, 0, 1_000_000), nameof(BusyPoll), BusyPoll, "must be null or from 0 to 1,000,000 whole microseconds");
        errors.Require(Dscp is null or (>= 0 and <= MaxDscp), nameof(Dscp), Dscp, "must be null or from 0 to 63");
        errors.Require(
            CongestionControl is null || (CongestionControl.Length is >= 1 and <= MaxCongestionControlName && !CongestionControl.AsSpan().ContainsAnyExceptInRange('!', '~')),
            nameof(CongestionControl),
            CongestionControl,
            "must be null or 1 to 15 printable ASCII characters");
        errors.Require(UnixFileMode is null || (UnixFileMode & ~Permissions) == 0, nameof(UnixFileMode), UnixFileMode, "must be null or of the nine bits of owner, group and others");
        return errors;
    }

    /// <summary>What is set, in the kernel's units, and on which sockets each has to be. Once the values are checked.</summary>
    internal SocketSettings ToSettings()
    {
        // What is inherited, and what is not, was tried out on Linux 6.18; a test holds it.
        const SettingPlaces Inherited = SettingPlaces.Listener | SettingPlaces.Client;
        SettingPlaces notByMultipath = Multipath == true ? Inherited | SettingPlaces.Accepted : Inherited;
        List<KernelSetting> all = [];
        Add(KernelOption.SO_KEEPALIVE, nameof(KeepAlive), Flag(KeepAlive), Inherited);
        Add(KernelOption.TCP_KEEPIDLE, nameof(KeepAliveTime), In(s_second, KeepAliveTime), Inherited);
        Add(KernelOption.TCP_KEEPINTVL, nameof(KeepAliveInterval), In(s_second, KeepAliveInterval), Inherited);
        Add(KernelOption.TCP_KEEPCNT, nameof(KeepAliveRetryCount), KeepAliveRetryCount, Inherited);
        Add(KernelOption.TCP_USER_TIMEOUT, nameof(UserTimeout), In(s_millisecond, UserTimeout), Inherited);
        Add(KernelOption.TCP_NOTSENT_LOWAT, nameof(NotSentLowWatermark), NotSentLowWatermark, notByMultipath);
        Add(KernelOption.TCP_FASTOPEN, nameof(FastOpenQueueLength), FastOpenQueueLength, SettingPlaces.Listener);
        Add(KernelOption.TCP_DEFER_ACCEPT, nameof(DeferAccept), In(s_second, DeferAccept), SettingPlaces.Listener);

        // On the socket that listens only to find out whether the kernel would refuse it.
        Add(KernelOption.TCP_QUICKACK, nameof(QuickAck), Flag(QuickAck), Inherited | SettingPlaces.Accepted);
        Add(KernelOption.SO_SNDBUF, nameof(SendBufferSize), SendBufferSize, Inherited);
        Add(
            KernelOption.SO_SNDBUF, nameof(SendBufferSize), SendBufferSize is { } size ? Math.Max(size, MinUnixSendBuffer) : null, SettingPlaces.None,
            SettingPlaces.Accepted | SettingPlaces.Client);
        Add(KernelOption.SO_RCVBUF, nameof(ReceiveBufferSize), ReceiveBufferSize, Inherited);
        Add(KernelOption.SO_REUSEPORT, nameof(ReusePort), Flag(ReusePort), SettingPlaces.BeforeBind);
        Add(KernelOption.IP_FREEBIND, nameof(FreeBind), Flag(FreeBind), SettingPlaces.BeforeBind);
        Add(KernelOption.IP_TRANSPARENT, nameof(Transparent), Flag(Transparent), SettingPlaces.BeforeBind);
        Add(KernelOption.SO_BUSY_POLL, nameof(BusyPoll), In(s_microsecond, BusyPoll), notByMultipath);

        // An IPv6 socket sends to IPv4 clients too, and has a field for each.
        Add(KernelOption.IP_TOS, nameof(Dscp), Dscp << 2, Inherited);
        Add(KernelOption.IPV6_TCLASS, nameof(Dscp), Dscp << 2, Inherited);
        if (CongestionControl is { } name)
        {
            all.Add(new KernelSetting(KernelOption.TCP_CONGESTION, nameof(CongestionControl), Value: 0, Inherited, Text: name));
        }

        return new SocketSettings(all)
        {
            IsMultipath = Multipath == true,
            UnixFileMode = UnixFileMode,
            RemovesStaleUnixSockets = RemoveStaleUnixSocket,
        };

        void Add(KernelOption option, string property, int? value, SettingPlaces tcp, SettingPlaces unix = SettingPlaces.None)
        {
            if (value is { } number)
            {
                all.Add(new KernelSetting(option, property, number, tcp, unix));
            }
        }
    }

    private static int? Flag(bool? value) => value is null ? null : value.Value ? 1 : 0;

    private static int? In(TimeSpan unit, TimeSpan? value) => (int?)(value?.Ticks / unit.Ticks);

    private static bool IsWhole(TimeSpan? value, TimeSpan unit, int least, int most) =>
        value is not { } time || (time.Ticks % unit.Ticks == 0 && time.Ticks / unit.Ticks >= least && time.Ticks / unit.Ticks <= most);
}
