using System.Diagnostics;
using System.Diagnostics.Metrics;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>The instruments of one transport, in the meter <c>KestrelEpollTransport</c>. Thread-safe.</summary>
/// <remarks>
/// What happens once a request is observed, see <see cref="ObservedMetrics"/>; here is what is rare, and the one histogram, which is free while
/// nobody listens.
/// </remarks>
internal sealed class TransportMetrics : IDisposable
{
    public const string MeterName = "KestrelEpollTransport";

    // Kinds of threads.
    public const string Loop = "loop";
    public const string Worker = "worker";
    public const string ThreadPool = "thread_pool";

    /// <summary>On which kind of thread it ran.</summary>
    public const string ThreadTag = "epoll_transport.thread";

    /// <summary>Why it happened.</summary>
    public const string ReasonTag = "epoll_transport.reason";

    // Seconds. Semantic conventions for HTTP begin at 5 ms, which is long for a queue.
    private static readonly double[] s_delayBuckets =
        [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    private readonly Meter _meter;
    private readonly bool _ownsMeter;
    private readonly Counter<long> _acceptErrors;
    private readonly Counter<long> _acceptPauses;
    private readonly RefusedConnections _refused;
    private readonly Histogram<double> _delays;
    private long _acceptedTcp;
    private long _acceptedUnix;

    /// <param name="meterFactory">The host's, which owns the meters that it makes; null: a meter of our own.</param>
    /// <param name="figures">What is observed.</param>
    /// <param name="counters">What adaptive scheduling counts; null: it is another one.</param>
    public TransportMetrics(IMeterFactory? meterFactory, ITransportFigures figures, SchedulingCounters? counters)
    {
        MeterOptions options = new(MeterName);
        _meter = meterFactory?.Create(options) ?? new Meter(options);
        _ownsMeter = meterFactory is null;
        _acceptErrors = _meter.CreateCounter<long>(
            "epoll_transport.accept.errors", "{error}", "Connections that could not be accepted, by error.type (the name of the SocketError).");
        _acceptPauses = _meter.CreateCounter<long>(
            "epoll_transport.accept.pauses", "{pause}", $"Times that a listener stopped accepting for a while, by {ReasonTag} (queue_full or back_off).");
        _refused = new RefusedConnections(_meter);
        _delays = _meter.CreateHistogram(
            "epoll_transport.queueing.duration",
            "s",
            $"How long what came on a connection waited for a thread at most, by {ThreadTag} ({Loop}, {Worker} or {ThreadPool}).",
            tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = s_delayBuckets });
        ObservedMetrics.Add(_meter, figures, () => [(Volatile.Read(ref _acceptedTcp), "tcp"), (Volatile.Read(ref _acceptedUnix), "unix")]);
        if (counters is not null)
        {
            ObservedMetrics.AddScheduling(_meter, figures, counters);
        }
    }

    /// <summary>Adds the instruments of what TCP knows.</summary>
    public TcpMetrics AddTcp() => new(_meter);

    /// <summary>Whether somebody listens to <see cref="Waited"/>.</summary>
    public bool WantsDelays => _delays.Enabled;

    public void AcceptFailed(string error) => Add(_acceptErrors, "error.type", error);

    /// <summary>A listener stopped accepting for a while.</summary>
    /// <param name="isBackOff">After a failure; else nobody took what it had accepted.</param>
    public void AcceptPaused(bool isBackOff) => Add(_acceptPauses, ReasonTag, isBackOff ? "back_off" : "queue_full");

    /// <summary>A connection is on its way to the application.</summary>
    public void Accepted(bool isTcp) => Interlocked.Increment(ref isTcp ? ref _acceptedTcp : ref _acceptedUnix);

    /// <param name="reason">One of those of <see cref="RefusedConnections"/>.</param>
    public void Refused(string reason) => _refused.Add(reason);

    /// <summary>A dispatch begins that could have so long ago, in the ticks of <see cref="Stopwatch"/>.</summary>
    public void Waited(long ticks, string thread)
    {
        try
        {
            _delays.Record(ticks / (double)Stopwatch.Frequency, new KeyValuePair<string, object?>(ThreadTag, thread));
        }
#pragma warning disable CA1031 // A listener of the application threw, in front of a request.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Uninterrupted.RaiseAgain(exception is ThreadInterruptedException);
        }
    }

    /// <summary>Counts one of what has one tag. Never throws.</summary>
    public static void Add(Counter<long> counter, string tag, string value)
    {
        try
        {
            counter.Add(1, new KeyValuePair<string, object?>(tag, value));
        }
#pragma warning disable CA1031 // A listener of the application threw, in the middle of accepting.
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
}
