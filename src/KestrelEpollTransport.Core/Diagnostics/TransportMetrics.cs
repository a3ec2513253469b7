using System.Diagnostics.Metrics;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>The instruments of one transport, in the meter <c>KestrelEpollTransport</c>. Thread-safe.</summary>
internal sealed class TransportMetrics : IDisposable
{
    public const string MeterName = "KestrelEpollTransport";

    private readonly Meter _meter;
    private readonly bool _ownsMeter;
    private readonly Counter<long> _acceptErrors;

    /// <param name="meterFactory">The host's, which owns the meters that it makes; null: a meter of our own.</param>
    /// <param name="loops">Whose connections are counted.</param>
    public TransportMetrics(IMeterFactory? meterFactory, LoopGroup loops)
    {
        MeterOptions options = new(MeterName);
        _meter = meterFactory?.Create(options) ?? new Meter(options);
        _ownsMeter = meterFactory is null;
        _acceptErrors = _meter.CreateCounter<long>(
            "epoll_transport.accept.errors", "{error}", "Connections that could not be accepted, by error.type (the name of the SocketError).");
        _meter.CreateObservableUpDownCounter(
            "epoll_transport.loop.connections", () => Observe(loops), "{connection}", "Open connections, by epoll_transport.loop (the index of the loop).");
    }

    public void AcceptFailed(string error) => _acceptErrors.Add(1, new KeyValuePair<string, object?>("error.type", error));

    public void Dispose()
    {
        if (_ownsMeter)
        {
            _meter.Dispose();
        }
    }

    private static Measurement<int>[] Observe(LoopGroup loops)
    {
        EventLoop[] started = loops.Started.ToArray();
        return Array.ConvertAll(started, static loop =>
            new Measurement<int>(loop.Load, new KeyValuePair<string, object?>("epoll_transport.loop", loop.Index)));
    }
}
