using System.Diagnostics.Metrics;
using System.Numerics;

namespace TransportBench.Servers;

/// <summary>
/// Collects all that the transport's meter tells, as an exporter does: each measurement of a histogram goes into a bucket, what is observed is
/// looked at once a second. Listening as such is what is measured, so it does no more than any collector has to.
/// </summary>
internal sealed class MetricsCollector : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly Timer _timer;

    // Of powers of two of a nanosecond.
    private readonly long[] _buckets = new long[64];

    public MetricsCollector()
    {
        _listener.InstrumentPublished = static (instrument, listener) =>
        {
            if (instrument.Meter.Name == "KestrelEpollTransport")
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<int>(static (_, _, _, _) => { });
        _listener.SetMeasurementEventCallback<long>(static (_, _, _, _) => { });
        _listener.SetMeasurementEventCallback<double>(OnSeconds);
        _listener.Start();
        _timer = new Timer(_ => _listener.RecordObservableInstruments(), state: null, dueTime: 1000, period: 1000);
    }

    public void Dispose()
    {
        _timer.Dispose();
        _listener.Dispose();
    }

    private void OnSeconds(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state)
    {
        if (!instrument.IsObservable)
        {
            Interlocked.Increment(ref _buckets[BitOperations.Log2((ulong)(value * 1e9) | 1)]);
        }
    }
}
