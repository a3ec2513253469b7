using System.Diagnostics.Metrics;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>Counts connections that were closed, or reset, before the application had them, by why. Thread-safe.</summary>
/// <param name="meter">The transport's. Asked twice for the instrument, it gives the same one.</param>
internal sealed class RefusedConnections(Meter meter)
{
    /// <summary>The endpoint had as many as it may have.</summary>
    public const string ConnectionLimit = "connection_limit";

    /// <summary>The client's address had as many as it may have.</summary>
    public const string AddressLimit = "address_limit";

    /// <summary>ConfigureAcceptedSocket closed it, or threw.</summary>
    public const string ByApplication = "application";

    /// <summary>There was no memory for it, or its loop had ended.</summary>
    public const string NotStarted = "not_started";

    /// <summary>The endpoint was unbound before it was taken.</summary>
    public const string Unbound = "unbound";

    private readonly Counter<long> _refused = meter.CreateCounter<long>(
        "epoll_transport.connections.refused",
        "{connection}",
        $"Connections that were closed before the application had them, by {TransportMetrics.ReasonTag} ({ConnectionLimit}, {AddressLimit}, {ByApplication}, {NotStarted} or {Unbound}).");

    /// <param name="reason">One of the above.</param>
    public void Add(string reason) => TransportMetrics.Add(_refused, TransportMetrics.ReasonTag, reason);
}
