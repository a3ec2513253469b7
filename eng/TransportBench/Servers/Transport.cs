using TransportBench.Processes;

namespace TransportBench.Servers;

/// <summary>One contestant: what serves, and how it is called.</summary>
/// <param name="Name">As on the command line and in the results.</param>
/// <param name="Title">As in tables.</param>
internal sealed record Transport(string Name, string Title)
{
    /// <summary>What everything is compared with.</summary>
    public static readonly Transport Sockets = new("sockets", "Sockets");

    /// <summary>The reference once more: how far its ratio strays from 1 is noise.</summary>
    public static readonly Transport Control = new("sockets-control", "Sockets again (control)");

    public static readonly Transport SocketsInline = new("sockets-inline", "Sockets, inline");
    public static readonly Transport Epoll = new("epoll", "epoll");
    public static readonly Transport EpollPool = new("epoll-pool", "epoll, ThreadPool");
    public static readonly Transport EpollInline = new("epoll-inline", "epoll, UnsafeInline");

    /// <summary>For who has a processor to spare for latency: <see cref="KestrelEpollTransport.EpollTransportOptions.SpinBeforeWait"/>.</summary>
    public static readonly Transport EpollSpin = new("epoll-spin", "epoll, spinning 50 µs");

    /// <summary>With <see cref="KestrelEpollTransport.EpollTransportOptions.ScheduleContinuations"/>.</summary>
    public static readonly Transport EpollContinuations = new("epoll-continuations", "epoll, ScheduleContinuations");

    /// <summary>With a <see cref="MetricsCollector"/>, as if the server were scraped.</summary>
    public static readonly Transport EpollMetrics = new("epoll-metrics", "epoll, metrics collected");

    /// <summary>With load shedding, and 16 workers so that their number can be the limit.</summary>
    public static readonly Transport EpollShedding = new("epoll-shedding", "epoll, load shedding");

    /// <summary>With <c>UseProxyProtocol</c> on the endpoint for HTTP/1.1.</summary>
    public static readonly Transport EpollProxy = new("epoll-proxy", "epoll, UseProxyProtocol");

    /// <summary>With ASP.NET Core's own concurrency limiter, as many at a time.</summary>
    public static readonly Transport SocketsLimited = new("sockets-limited", "Sockets, concurrency limiter");

    /// <summary>What the kernel and the loops cost, without Kestrel: what no transport can come below.</summary>
    public static readonly Transport Floor = new("floor", "no Kestrel (the floor)");

    /// <summary>The default mode of another build of this program, which <c>--before</c> names: what a change costs, in turns with it.</summary>
    public static readonly Transport Before = new("epoll-before", "epoll, before");

    /// <summary>What can be asked for on the command line.</summary>
    public static IReadOnlyList<Transport> Choices { get; } = [Sockets, SocketsInline, Epoll, EpollPool, EpollInline, EpollSpin, EpollContinuations, EpollMetrics, EpollShedding, EpollProxy, SocketsLimited, Floor];

    /// <summary>All there are.</summary>
    public static IReadOnlyList<Transport> All { get; } = [Sockets, Control, .. Choices.Skip(1), Before];

    /// <summary>Where it serves; null: on the runtime of this program.</summary>
    public OtherRuntime? Runtime { get; private init; }

    /// <summary>What it is, wherever it serves: one of <see cref="All"/>.</summary>
    public Transport Kind => HomeKind ?? this;

    private Transport? HomeKind { get; init; }

    public override string ToString() => Name;

    /// <summary>The same on another runtime, a contestant of its own.</summary>
    public Transport On(OtherRuntime runtime) => this with
    {
        Name = $"{Name}@{runtime.Version.Major}",
        Title = $"{Title}, {runtime.Title}",
        Runtime = runtime,
        HomeKind = this,
    };
}
