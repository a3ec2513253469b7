using System.Diagnostics.Metrics;
using System.Globalization;
using HdrHistogram;

namespace LoopDashboard;

/// <summary>Listens to the transport's meter. For one thread at a time.</summary>
internal sealed class Meters : IDisposable
{
    private const string Prefix = "epoll_transport.";
    private const string Delay = Prefix + "queueing.duration";
    private const long MaxDelayNs = 60_000_000_000;

    private readonly MeterListener _listener = new();
    private readonly Recorder _delays = HistogramFactory.With64BitBucketSize()
        .WithValuesUpTo(MaxDelayNs).WithPrecisionOf(2).WithThreadSafeWrites().WithThreadSafeReads().Create();

    // What was observed now, and the time before: by instrument and tag.
    private Dictionary<(string Instrument, string Tag), double> _now = [];
    private Dictionary<(string Instrument, string Tag), double> _before = [];
    private HistogramBase? _interval;

    public Meters()
    {
        _listener.InstrumentPublished = static (instrument, listener) =>
        {
            if (instrument.Meter.Name == "KestrelEpollTransport" && (instrument.IsObservable || instrument.Name == Delay))
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Observe(instrument, value, tags));
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Observe(instrument, value, tags));
        _listener.SetMeasurementEventCallback<double>(OnSeconds);
        _listener.Start();
    }

    /// <summary>What happened since the call before.</summary>
    /// <param name="time">Of the sample.</param>
    /// <param name="elapsed">Seconds since the call before.</param>
    public Sample Take(double time, double elapsed)
    {
        (_before, _now) = (_now, _before);
        _now.Clear();
        _listener.RecordObservableInstruments();
        _interval = _delays.GetIntervalHistogram(_interval);
        double waits = Rate("loop.waits") * elapsed;
        return new Sample(
            time,
            Each("loop.busy_time", key => Math.Clamp(Rise(key) / elapsed, 0, 1)),
            Each("loop.connections", key => _now[key]),
            Percentile(50),
            Percentile(99),
            Rate("dispatches", "loop"),
            Rate("dispatches", "worker") + Rate("dispatches", "thread_pool"),
            waits > 0 ? Rate("loop.events") * elapsed / waits : 0,
            Rate("hand_offs"),
            Rate("demotions"),
            Now("workers"),
            Now("workers.busy"),
            Rate("network.io", "receive"),
            Rate("network.io", "transmit"));

        double Rate(string instrument, string? tag = null) => Keys(instrument, tag).Sum(Rise) / elapsed;
    }

    public void Dispose() => _listener.Dispose();

    // A loop that comes has no value before.
    private double Rise((string Instrument, string Tag) key) => Math.Max(_now[key] - _before.GetValueOrDefault(key, _now[key]), 0);

    private double Now(string instrument) => Keys(instrument, tag: null).Sum(key => _now[key]);

    private double[] Each(string instrument, Func<(string Instrument, string Tag), double> get) =>
        [.. Keys(instrument, tag: null).OrderBy(static key => int.Parse(key.Tag, CultureInfo.InvariantCulture)).Select(get)];

    private IEnumerable<(string Instrument, string Tag)> Keys(string instrument, string? tag) =>
        _now.Keys.Where(key => key.Instrument == Prefix + instrument && (tag is null || key.Tag == tag));

    private double? Percentile(double percentile) => _interval!.TotalCount == 0 ? null : _interval.GetValueAtPercentile(percentile) / 1e3;

    // Within Take, on its thread.
    private void Observe(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
        _now[(instrument.Name, tags.Length == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"{tags[0].Value}"))] = value;

    private void OnSeconds(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state)
    {
        if (instrument.IsObservable)
        {
            Observe(instrument, value, tags);
        }
        else
        {
            _delays.RecordValue(Math.Clamp((long)(value * 1e9), 0, MaxDelayNs));
        }
    }
}
