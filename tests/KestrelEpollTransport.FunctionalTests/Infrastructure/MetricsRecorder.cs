using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What the transport's meter of one container tells. Meters of other tests have the same name, and are not listened to.</summary>
internal sealed class MetricsRecorder : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly ConcurrentDictionary<string, double> _values = new();
    private readonly ConcurrentDictionary<Instrument, bool> _instruments = new();
    private readonly ConcurrentDictionary<(string Instrument, string Tag, string Value), bool> _tags = new();

    public MetricsRecorder(IServiceProvider services)
    {
        var factory = services.GetRequiredService<IMeterFactory>();
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == "KestrelEpollTransport" && ReferenceEquals(instrument.Meter.Scope, factory))
            {
                _instruments[instrument] = true;
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.Start();
    }

    public ICollection<Instrument> Instruments => _instruments.Keys;

    /// <summary>Every tag that a measurement had.</summary>
    public ICollection<(string Instrument, string Tag, string Value)> Tags => _tags.Keys;

    /// <summary>The sum of a counter's or a histogram's measurements; of what is observed, what a look at this moment tells; 0 if nothing was told.</summary>
    /// <param name="instrument">Its name, without <c>epoll_transport.</c>.</param>
    /// <param name="tag">The value of its tag, if it has one.</param>
    public double this[string instrument, object? tag = null]
    {
        get
        {
            _listener.RecordObservableInstruments();
            return _values.GetValueOrDefault(Key($"epoll_transport.{instrument}", $"{tag}"));
        }
    }

    public void Dispose() => _listener.Dispose();

    private static string Key(string instrument, string tag) => tag.Length == 0 ? instrument : $"{instrument}/{tag}";

    private void Record(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        string tag = tags.Length == 0 ? "" : $"{tags[0].Value}";
        foreach (KeyValuePair<string, object?> each in tags)
        {
            _tags[(instrument.Name, each.Key, $"{each.Value}")] = true;
        }

        _values.AddOrUpdate(Key(instrument.Name, tag), value, (_, before) => instrument.IsObservable ? value : before + value);
    }
}
