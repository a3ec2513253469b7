using System.Diagnostics;
using System.Diagnostics.Metrics;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>The instruments of one transport, in the meter <c>KestrelEpollTransport</c>. Thread-safe.</summary>
internal sealed class TransportMetrics : IDisposable
{
    public const string MeterName = "KestrelEpollTransport";

    // Kinds of threads.
    public const string Loop = "loop";
    public const string Worker = "worker";
    public const string ThreadPool = "thread_pool";

    private const string ThreadTag = "epoll_transport.thread";

    // Seconds. Semantic conventions for HTTP begin at 5 ms, which is long for a queue.
    private static readonly double[] s_delayBuckets =
        [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    private readonly Meter _meter;
    private readonly bool _ownsMeter;
    private readonly Counter<long> _acceptErrors;
    private readonly Histogram<double> _delays;

    /// <param name="meterFactory">The host's, which owns the meters that it makes; null: a meter of our own.</param>
    /// <param name="connectionsByLoop">Tells how many connections each loop has, when somebody observes.</param>
    public TransportMetrics(IMeterFactory? meterFactory, Func<int[]> connectionsByLoop)
    {
        MeterOptions options = new(MeterName);
        _meter = meterFactory?.Create(options) ?? new Meter(options);
        _ownsMeter = meterFactory is null;
        _acceptErrors = _meter.CreateCounter<long>(
            "epoll_transport.accept.errors", "{error}", "Connections that could not be accepted, by error.type (the name of the SocketError).");
        _delays = _meter.CreateHistogram(
            "epoll_transport.queueing.duration",
            "s",
            "How long what came on a connection waited for a thread at most, by epoll_transport.thread (loop, worker or thread_pool).",
            tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = s_delayBuckets });
        _meter.CreateObservableUpDownCounter(
            "epoll_transport.loop.connections", () => Observe(connectionsByLoop()), "{connection}", "Open connections, by epoll_transport.loop (the index of the loop).");
    }

    /// <summary>Adds the instruments of adaptive scheduling.</summary>
    /// <param name="counters">What is observed.</param>
    /// <param name="workers">Tells how many worker threads there are.</param>
    public void AddScheduling(SchedulingCounters counters, Func<int> workers)
    {
        _meter.CreateObservableCounter(
            "epoll_transport.dispatches",
            () => Observe(counters.Dispatches),
            "{dispatch}",
            "Resumed connections and continuations, by epoll_transport.thread (loop, worker, or thread_pool when workers have run out).");
        _meter.CreateObservableCounter(
            "epoll_transport.continuations",
            () => Observe(counters.Continuations),
            "{continuation}",
            "Application code that came back to the transport's threads after an await, by epoll_transport.thread.");
        _meter.CreateObservableCounter(
            "epoll_transport.hand_offs", () => counters.HandOffs, "{hand_off}", "Loops that another thread took over because a dispatch kept them too long.");
        _meter.CreateObservableCounter(
            "epoll_transport.demotions", () => counters.Demotions, "{demotion}", "Connections, and kinds of code behind an await, that left their loop because they block.");
        _meter.CreateObservableCounter(
            "epoll_transport.promotions", () => counters.Promotions, "{promotion}", "Connections, and kinds of code behind an await, that no longer block and came back to their loop.");
        _meter.CreateObservableUpDownCounter(
            "epoll_transport.workers", workers, "{thread}", "Threads that drive loops, run dispatches that block, or wait to do either.");
    }

    /// <summary>Adds the instruments of what TCP knows.</summary>
    public TcpMetrics AddTcp() => new(_meter);

    /// <summary>Whether somebody listens to <see cref="Waited"/>.</summary>
    public bool WantsDelays => _delays.Enabled;

    public void AcceptFailed(string error)
    {
        try
        {
            _acceptErrors.Add(1, new KeyValuePair<string, object?>("error.type", error));
        }
#pragma warning disable CA1031 // A listener of the application threw, in the middle of accepting.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Uninterrupted.RaiseAgain(exception is ThreadInterruptedException);
        }
    }

    /// <summary>A dispatch begins that could have so long ago, in the ticks of <see cref="Stopwatch"/>.</summary>
    public void Waited(long ticks, string thread)
    {
        try
        {
            _delays.Record(ticks / (double)Stopwatch.Frequency, new KeyValuePair<string, object?>(ThreadTag, thread));
        }
#pragma warning disable CA1031 // The same, in front of a request.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Uninterrupted.RaiseAgain(exception is ThreadInterruptedException);
        }
    }

    public void Dispose()
    {
        if (_ownsMeter)
        {
            _meter.Dispose();
        }
    }

    private static Measurement<long>[] Observe(ThreadCounts counts)
    {
        return [On(Loop, counts.OnLoops), On(Worker, counts.OnWorkers), On(ThreadPool, counts.OnPool)];

        static Measurement<long> On(string thread, long count) => new(count, new KeyValuePair<string, object?>(ThreadTag, thread));
    }

    private static Measurement<int>[] Observe(int[] connections)
    {
        Measurement<int>[] measurements = new Measurement<int>[connections.Length];
        for (int loop = 0; loop < connections.Length; loop++)
        {
            measurements[loop] = new Measurement<int>(connections[loop], new KeyValuePair<string, object?>("epoll_transport.loop", loop));
        }

        return measurements;
    }
}
