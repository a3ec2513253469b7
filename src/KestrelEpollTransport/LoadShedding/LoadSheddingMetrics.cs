using System.Diagnostics.Metrics;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.LoadShedding;

/// <summary>The instrument of load shedding, in the transport's meter. Lives as long as the process, or the host. Thread-safe.</summary>
internal sealed class LoadSheddingMetrics
{
    private readonly Counter<long> _refused;

    /// <param name="meterFactory">The host's, which gives the transport's meter again; null: another one of the same name.</param>
    public LoadSheddingMetrics(IMeterFactory? meterFactory)
    {
        MeterOptions options = new(TransportMetrics.MeterName);
#pragma warning disable CA2000 // The factory's; and without one it is needed for as long as the pipeline is.
        Meter meter = meterFactory?.Create(options) ?? new Meter(options);
#pragma warning restore CA2000
        _refused = meter.CreateCounter<long>("epoll_transport.requests.shed", "{request}", "Requests that were answered 503 because others had waited for too long.");
    }

    public void Refused()
    {
        try
        {
            _refused.Add(1);
        }
#pragma warning disable CA1031 // A listener of the application threw, and the request is to be answered 503.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Uninterrupted.RaiseAgain(exception is ThreadInterruptedException);
        }
    }
}
