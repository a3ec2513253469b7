using System.Diagnostics.Metrics;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>The instruments that cost nothing while nobody looks: each reads figures when it is observed. Any thread.</summary>
internal static class ObservedMetrics
{
    private const string LoopTag = "epoll_transport.loop";
    private const string QueueTag = "epoll_transport.queue";

    // Of OpenTelemetry's semantic conventions.
    private const string DirectionTag = "network.io.direction";
    private const string TransportTag = "network.transport";
    private const string Receive = "receive";
    private const string Transmit = "transmit";

    /// <param name="meter">Where they belong.</param>
    /// <param name="figures">What they tell.</param>
    /// <param name="accepted">How many connections were accepted, and over what.</param>
    public static void Add(Meter meter, ITransportFigures figures, Func<(long Count, string Transport)[]> accepted)
    {
        meter.CreateObservableUpDownCounter(
            "epoll_transport.loop.connections",
            () => ByLoop(figures, static loop => loop.Connections),
            "{connection}",
            $"Open connections, by {LoopTag} (the index of the loop).");
        meter.CreateObservableCounter(
            "epoll_transport.loop.waits", () => ByLoop(figures, static loop => loop.Waits), "{wait}", $"Times that a loop was told what is ready, by {LoopTag}.");
        meter.CreateObservableCounter(
            "epoll_transport.loop.events", () => ByLoop(figures, static loop => loop.Events), "{event}", $"What the loop was told, by {LoopTag}.");
        meter.CreateObservableCounter(
            "epoll_transport.loop.busy_time",
            () => ByLoop(figures, static loop => loop.BusySeconds),
            "s",
            $"For how long nobody waited for events, so that what came had to wait, by {LoopTag}.");
        meter.CreateObservableCounter(
            "epoll_transport.connections.accepted",
            () => Array.ConvertAll(accepted(), static of => Tagged(of.Count, TransportTag, of.Transport)),
            "{connection}",
            $"Connections that were accepted and queued for the application, including those that were refused after that, by {TransportTag} (tcp or unix).");
        meter.CreateObservableUpDownCounter(
            "epoll_transport.connections.paused",
            () => ByDirection(figures.GetPaused()),
            "{connection}",
            $"Connections that wait for the other side, by {DirectionTag} ({Receive}: for the application to read; {Transmit}: for the client to).");
        meter.CreateObservableCounter(
            "epoll_transport.network.io",
            () => ByDirection(figures.GetBytes()),
            "By",
            $"Bytes received and sent, by {DirectionTag} ({Receive} or {Transmit}).");
        meter.CreateObservableUpDownCounter(
            "epoll_transport.queue.length",
            () => ByQueue(figures.GetQueues()),
            "{item}",
            $"What waits, by {QueueTag} (accepted: for the application to take it; loop and worker: for a thread of that kind).");
    }

    /// <summary>Adds those of adaptive scheduling.</summary>
    public static void AddScheduling(Meter meter, ITransportFigures figures, SchedulingCounters counters)
    {
        meter.CreateObservableCounter(
            "epoll_transport.dispatches",
            () => ByThread(counters.Dispatches),
            "{dispatch}",
            $"Resumed connections and continuations, by {TransportMetrics.ThreadTag} (loop, worker, or thread_pool when workers have run out).");
        meter.CreateObservableCounter(
            "epoll_transport.continuations",
            () => ByThread(counters.Continuations),
            "{continuation}",
            $"Application code that came back to the transport's threads after an await, by {TransportMetrics.ThreadTag}.");
        meter.CreateObservableCounter(
            "epoll_transport.hand_offs", () => counters.HandOffs, "{hand_off}", "Loops that another thread took over because a dispatch kept them too long.");
        meter.CreateObservableCounter(
            "epoll_transport.demotions", () => counters.Demotions, "{demotion}", "Connections, and kinds of code behind an await, that left their loop because they block.");
        meter.CreateObservableCounter(
            "epoll_transport.promotions", () => counters.Promotions, "{promotion}", "Connections, and kinds of code behind an await, that no longer block and came back to their loop.");
        meter.CreateObservableUpDownCounter(
            "epoll_transport.workers", () => figures.GetWorkers().Count, "{thread}", "Threads that drive loops, run dispatches that block, or wait to do either.");
        meter.CreateObservableUpDownCounter(
            "epoll_transport.workers.busy", () => figures.GetWorkers().Busy, "{thread}", "Workers that run dispatches off the loops, or are stuck in one.");
        meter.CreateObservableUpDownCounter(
            "epoll_transport.workers.limit", () => figures.GetWorkers().Limit, "{thread}", "How many may be: MaxWorkers, and more where all of them were stuck.");
    }

    private static Measurement<T>[] ByLoop<T>(ITransportFigures figures, Func<LoopFigures, T> choose)
        where T : struct =>
        Array.ConvertAll(figures.GetLoops(), loop => new Measurement<T>(choose(loop), new KeyValuePair<string, object?>(LoopTag, loop.Index)));

    private static Measurement<long>[] ByThread(ThreadCounts counts) =>
    [
        Tagged(counts.OnLoops, TransportMetrics.ThreadTag, TransportMetrics.Loop),
        Tagged(counts.OnWorkers, TransportMetrics.ThreadTag, TransportMetrics.Worker),
        Tagged(counts.OnPool, TransportMetrics.ThreadTag, TransportMetrics.ThreadPool),
    ];

    private static Measurement<int>[] ByDirection(PausedFigures paused) =>
        [Tagged(paused.Receiving, DirectionTag, Receive), Tagged(paused.Sending, DirectionTag, Transmit)];

    private static Measurement<long>[] ByDirection(ByteFigures bytes) =>
        [Tagged(bytes.Received, DirectionTag, Receive), Tagged(bytes.Sent, DirectionTag, Transmit)];

    private static Measurement<int>[] ByQueue(QueueFigures queues) =>
        [Tagged(queues.Accepted, QueueTag, "accepted"), Tagged(queues.Posted, QueueTag, "loop"), Tagged(queues.OffLoop, QueueTag, "worker")];

    private static Measurement<T> Tagged<T>(T value, string tag, string name)
        where T : struct => new(value, new KeyValuePair<string, object?>(tag, name));
}
