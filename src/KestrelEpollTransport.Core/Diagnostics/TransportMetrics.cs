using System.Diagnostics.Metrics;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>The instruments of one transport, in the meter <c>KestrelEpollTransport</c>. Thread-safe.</summary>
internal sealed class TransportMetrics : IDisposable
{
    public const string MeterName = "KestrelEpollTransport";

    private readonly Meter _meter;
    private readonly bool _ownsMeter;
    private readonly Counter<long> _acceptErrors;

    /// <param name="meterFactory">The host's, which owns the meters that it makes; null: a meter of our own.</param>
    /// <param name="connectionsByLoop">Tells how many connections each loop has, when somebody observes.</param>
    public TransportMetrics(IMeterFactory? meterFactory, Func<int[]> connectionsByLoop)
    {
        MeterOptions options = new(MeterName);
        _meter = meterFactory?.Create(options) ?? new Meter(options);
        _ownsMeter = meterFactory is null;
        _acceptErrors = _meter.CreateCounter<long>(
            "epoll_transport.accept.errors", "{error}", "Connections that could not be accepted, by error.type (the name of the SocketError).");
        _meter.CreateObservableUpDownCounter(
            "epoll_transport.loop.connections", () => Observe(connectionsByLoop()), "{connection}", "Open connections, by epoll_transport.loop (the index of the loop).");
    }

    public void AcceptFailed(string error)
    {
        try
        {
            _acceptErrors.Add(1, new KeyValuePair<string, object?>("error.type", error));
        }
#pragma warning disable CA1031 // A listener of the application threw, in the middle of accepting.
        catch (Exception)
#pragma warning restore CA1031
        {
        }
    }

    public void Dispose()
    {
        if (_ownsMeter)
        {
            _meter.Dispose();
        }
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
