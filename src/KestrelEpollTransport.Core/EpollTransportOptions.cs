using System.Globalization;
using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Scheduling;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>
/// Options of the transport. Names and defaults are those of the stock Sockets transport where the meaning is
/// the same. Values are read, and checked, once: when the transport is made.
/// </summary>
public sealed class EpollTransportOptions
{
    /// <summary>The largest number of loops that <see cref="LoopCount"/> accepts, and the cap of its default.</summary>
    public const int MaxLoopCount = 64;

    /// <summary>One thread that polls, and calls others when it does not keep up, is enough for so many.</summary>
    private const int ProcessorsPerLoop = 8;

    private static readonly TimeSpan s_maxSpin = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_minHandOffLimit = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan s_minDemotionLimit = TimeSpan.FromMicroseconds(1);
    private static readonly TimeSpan s_maxLimit = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan s_minSampling = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_maxSampling = TimeSpan.FromHours(1);

    private int? _loopCount;
    private int? _driversPerLoop;

    /// <summary>
    /// Whether Kestrel's endpoints are served by this transport. If not, Kestrel takes the next one, which is Sockets, and one Information line
    /// says so. The key <c>EpollTransport:Enabled</c> of the host's configuration has the last word where it is set, so that an operator can
    /// switch the transport off without a new build: <c>EpollTransport__Enabled=false</c> in the environment. Who calls
    /// <see cref="EpollTransportFactory.BindAsync"/> without Kestrel is served either way. Default: <see langword="true"/>.
    /// </summary>
    public bool Enabled { get; set; } = true;

    /// <summary>
    /// How many event loops, each with a poller of its own, serve all connections of the transport. With
    /// <see cref="ApplicationScheduling.Adaptive"/> a loop is driven by one thread as long as that keeps up, and by as many as there are
    /// processors for each loop when it does not; in the other modes by one thread. Default: one for eight processors that the runtime may
    /// use (which honours container limits), at least one; with <see cref="ApplicationScheduling.UnsafeInline"/> one for each. Limits: 1 to
    /// <see cref="MaxLoopCount"/>, which also caps the default.
    /// </summary>
    public int LoopCount
    {
        get => _loopCount ?? Math.Clamp(
            Scheduling == ApplicationScheduling.UnsafeInline ? Environment.ProcessorCount : Environment.ProcessorCount / ProcessorsPerLoop, 1, MaxLoopCount);
        set => _loopCount = value;
    }

    /// <summary>Where application code is resumed. Default: <see cref="ApplicationScheduling.Adaptive"/>.</summary>
    public ApplicationScheduling Scheduling { get; set; } = ApplicationScheduling.Adaptive;

    /// <summary>
    /// How long a loop that has nothing to do polls before it sleeps: what comes meanwhile is served without waking a thread,
    /// and a processor is busy for as long. Not used when <see cref="LoopCount"/> exceeds the processors. Default: <see langword="null"/>: up to
    /// 50 µs, where nearly everything that the loop waited for lately came as soon as that. Limits: 0 (never) to 1 second.
    /// </summary>
    public TimeSpan? SpinBeforeWait { get; set; }

    /// <summary>
    /// With <see cref="ApplicationScheduling.Adaptive"/>: how long one dispatch (what runs from the completion of a read to the
    /// application's next wait) may block its thread before another one takes that one's place at the loop; one that computes, or waits
    /// for a processor, is left alone while another drives the loop, and else has five times as long. It is looked at every 3 ms, so this takes up to 4 ms longer.
    /// Default: 2 ms. Limits: 1 ms to 1 minute. Longer: others wait longer for a handler that blocks.
    /// </summary>
    public TimeSpan HandOffLimit { get; set; } = TimeSpan.FromMilliseconds(2);

    /// <summary>
    /// With <see cref="ApplicationScheduling.Adaptive"/>: a connection whose dispatches repeatedly block for longer than this, for each read
    /// that they serve, runs on workers instead of its loop until they no longer do. One whose dispatches repeatedly
    /// compute for four times as long does so, too, on one worker fewer than there are processors; other dispatches that compute, or wait for a
    /// processor, stay on the loop, and others share its work. Default: 100 µs. Limits: 1 µs to 1 minute.
    /// </summary>
    public TimeSpan DemotionLimit { get; set; } = TimeSpan.FromMicroseconds(100);

    /// <summary>
    /// With <see cref="ApplicationScheduling.Adaptive"/>: the most threads, besides those that drive the loops, that run or are
    /// blocked by application code at a time; started when needed, ended when idle for 5 seconds. Beyond it what is known to block waits
    /// for the next thread that is done, and there is one thread more each 100 ms where none is; one more per loop may be blocked by code
    /// that was not known to block.
    /// Default: 256. Limits: 1 to 32,767.
    /// </summary>
    public int MaxWorkers { get; set; } = 256;

    /// <summary>
    /// With <see cref="ApplicationScheduling.Adaptive"/>, and <c>UseEpollTransport()</c>: whether the application's code comes back to the
    /// transport's threads after each <c>await</c>, and HTTP/2 requests begin there, instead of the .NET thread pool: so that code that blocks behind an <c>await</c>
    /// gets a thread of its own, too. Costs a hand-off to the loop for each <c>await</c> that had to wait. Code behind
    /// <c>ConfigureAwait(false)</c> and in <c>Task.Run</c> stays with the pool. Default: <see langword="false"/>. Without effect in the other
    /// modes, for HTTP/3, and on endpoints that another transport serves.
    /// </summary>
    public bool ScheduleContinuations { get; set; }

    /// <summary>
    /// The length that is asked of the kernel for the queue of connections that are established and not yet
    /// accepted, as in listen(2); the kernel caps it at <c>net.core.somaxconn</c>. Default: 512. Limit: positive.
    /// </summary>
    public int Backlog { get; set; } = 512;

    /// <summary>
    /// Whether TCP sends small segments at once (TCP_NODELAY, tcp(7)) instead of waiting for acknowledgements
    /// (Nagle's algorithm, RFC 896). Default: <see langword="true"/>. Has no meaning for unix sockets.
    /// </summary>
    public bool NoDelay { get; set; } = true;

    /// <summary>
    /// The most bytes that are received and not yet examined by the application; at that bound the transport
    /// stops receiving and the kernel's window closes. A receive takes whole blocks, so the bound may be exceeded by one of them. Bytes that
    /// were examined but not consumed do not count, so a parser that needs more data never waits for ever. Received ahead of the application
    /// is only where waiting could lose or block something: the peer has ended, a flush waits for room, or input was left for 5 ms.
    /// Default: 1,048,576 (1 MiB). <see langword="null"/> or 0: unlimited. Limit: not negative.
    /// </summary>
    public long? MaxReadBufferSize { get; set; } = 1024 * 1024;

    /// <summary>
    /// How many bytes that are flushed and not yet taken by the kernel make a flush wait; it goes on when fewer than
    /// half of them are left. After each 256 KiB that a connection has sent, one flush waits until others had a turn, even if
    /// there is room; but not with <see cref="ApplicationScheduling.UnsafeInline"/>, and not where requests are known to block. Default: 65,536 (64 KiB). <see langword="null"/> or 0: unlimited, and no
    /// flush waits. Limit: not negative.
    /// </summary>
    public long? MaxWriteBufferSize { get; set; } = 64 * 1024;

    /// <summary>
    /// Options of the kernel's: keep-alive, time-outs, buffers, Fast Open, the mode of unix sockets, and others. Default: each is the kernel's own.
    /// </summary>
    public EpollSocketOptions Sockets { get; private set; } = new();

    /// <summary>
    /// How often what TCP knows of each connection (TCP_INFO, tcp(7)) goes into the instruments <c>grpc.tcp.*</c> of the meter, while
    /// somebody listens to them: once in this time, at a moment that is each connection's own, and when it closes. gRPC's proposal A80
    /// advises 5 minutes. Default: <see langword="null"/>: never, and nothing is kept for it. Limits: 100 ms to 1 hour. Without effect for
    /// unix sockets, and where the system has no TCP_INFO.
    /// </summary>
    public TimeSpan? TcpMetricsInterval { get; set; }

    /// <summary>
    /// Creates a socket for an endpoint and binds it. The transport then calls <see cref="Socket.Listen(int)"/>,
    /// makes the socket non-blocking, and disposes it when the endpoint is unbound.
    /// Default: <see cref="CreateDefaultBoundListenSocket"/>, with the options of <see cref="Sockets"/>. Those that have to be set before a
    /// socket is bound are for any other function to set, as <see cref="EpollSocketOptions.CreateBoundListenSocket"/> does; the transport
    /// sets the others on what it returns.
    /// </summary>
    public Func<EndPoint, Socket> CreateBoundListenSocket { get; set; } = CreateDefaultBoundListenSocket;

    /// <summary>
    /// Where listening sockets come from that another process had before, and where they go when the next one is started. Endpoints
    /// for which it has none are made by <see cref="CreateBoundListenSocket"/>; a <see cref="FileHandleEndPoint"/> is not its
    /// business. Default: <see langword="null"/>. Set by <c>services.AddListenerHandover()</c>.
    /// </summary>
    public ListenerHandover? Handover { get; set; }

    /// <summary>
    /// Creates the listening socket that the transport uses by default: a TCP socket for an
    /// <see cref="IPEndPoint"/> (for <see cref="IPAddress.IPv6Any"/> one that accepts IPv4 as well), a stream
    /// socket for a <see cref="UnixDomainSocketEndPoint"/>, and for a <see cref="FileHandleEndPoint"/> a
    /// <see cref="Socket"/> over the inherited descriptor, which is bound already and is not owned.
    /// </summary>
    /// <param name="endpoint">What to bind.</param>
    /// <returns>A bound socket that does not listen yet.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="endpoint"/> is null.</exception>
    /// <exception cref="SocketException">The socket can't be created or bound; none can for a <see cref="DnsEndPoint"/>.</exception>
    public static Socket CreateDefaultBoundListenSocket(EndPoint endpoint)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        return ListenSocket.CreateBound(endpoint, SocketSettings.None);
    }

    /// <summary>How many threads may share a pass of a loop. Settable for tests of more than the machine has.</summary>
    internal int DriversPerLoop
    {
        get => _driversPerLoop ?? (Scheduling == ApplicationScheduling.Adaptive ? Math.Clamp(Environment.ProcessorCount / LoopCount, 1, Crew.Limit - 1) : 1);
        set => _driversPerLoop = value;
    }

    /// <summary>How long a pass of a loop takes before another thread is called. Settable for tests.</summary>
    internal TimeSpan CallAfter { get; set; } = TimeSpan.FromMicroseconds(10);

    /// <summary>Who set <see cref="Enabled"/> to false.</summary>
    internal string WhoDisabled { get; set; } = $"{nameof(EpollTransportOptions)}.{nameof(Enabled)} is false";

    /// <summary>A copy with the values of this moment.</summary>
    internal EpollTransportOptions Snapshot()
    {
        EpollTransportOptions copy = (EpollTransportOptions)MemberwiseClone();
        copy.Sockets = Sockets.Snapshot();
        return copy;
    }

    /// <summary>Whether the transport makes listening sockets itself.</summary>
    internal bool HasDefaultListenSocket => CreateBoundListenSocket == CreateDefaultBoundListenSocket;

    /// <summary>All values, but of <see cref="Sockets"/> those that are set.</summary>
    internal string Describe()
    {
        IEnumerable<string> own = typeof(EpollTransportOptions).GetProperties().Where(static property => property.Name != nameof(Sockets))
            .Select(property => Describe(property.Name, property.GetValue(this)));
        IEnumerable<string> kernel = typeof(EpollSocketOptions).GetProperties().Select(property => (property.Name, Value: property.GetValue(Sockets)))
            .Where(static option => option.Value is not (null or false)).Select(static option => Describe($"{nameof(Sockets)}.{option.Name}", option.Value));
        return string.Join(", ", own.Concat(kernel));

        static string Describe(string name, object? value) => string.Create(
            CultureInfo.InvariantCulture, $"{name}={value switch { null => "null", Delegate => "(a function)", _ => value }}");
    }

    /// <exception cref="OptionsValidationException">Values are outside their limits; it names each of them.</exception>
    internal void Validate() => FindErrors().ThrowIfAny(typeof(EpollTransportOptions));

    internal OptionErrors FindErrors()
    {
        OptionErrors errors = new(nameof(EpollTransportOptions));
        errors.Require(LoopCount is >= 1 and <= MaxLoopCount, nameof(LoopCount), LoopCount, $"must be from 1 to {MaxLoopCount}");
        errors.Require(Enum.IsDefined(Scheduling), nameof(Scheduling), Scheduling, $"must be a value of {nameof(ApplicationScheduling)}");
        errors.Require(SpinBeforeWait is null || (SpinBeforeWait >= TimeSpan.Zero && SpinBeforeWait <= s_maxSpin), nameof(SpinBeforeWait), SpinBeforeWait, "must be null (while it pays) or from 0 to 1 second");
        errors.Require(HandOffLimit >= s_minHandOffLimit && HandOffLimit <= s_maxLimit, nameof(HandOffLimit), HandOffLimit, "must be from 1 ms to 1 minute");
        errors.Require(DemotionLimit >= s_minDemotionLimit && DemotionLimit <= s_maxLimit, nameof(DemotionLimit), DemotionLimit, "must be from 1 µs to 1 minute");
        errors.Require(MaxWorkers is >= 1 and <= Workers.Limit, nameof(MaxWorkers), MaxWorkers, $"must be from 1 to {Workers.Limit}");
        errors.Require(Backlog > 0, nameof(Backlog), Backlog, "must be positive");
        errors.Require(MaxReadBufferSize is not < 0, nameof(MaxReadBufferSize), MaxReadBufferSize, "must be null, 0 (both: unlimited) or positive");
        errors.Require(MaxWriteBufferSize is not < 0, nameof(MaxWriteBufferSize), MaxWriteBufferSize, "must be null, 0 (both: unlimited) or positive");
        errors.Require(
            TcpMetricsInterval is null || (TcpMetricsInterval >= s_minSampling && TcpMetricsInterval <= s_maxSampling),
            nameof(TcpMetricsInterval), TcpMetricsInterval, "must be null (never) or from 100 ms to 1 hour");
        errors.Require(CreateBoundListenSocket is not null, nameof(CreateBoundListenSocket), CreateBoundListenSocket, "must be a function");
        errors.Add(Sockets.FindErrors());
        return errors;
    }
}
