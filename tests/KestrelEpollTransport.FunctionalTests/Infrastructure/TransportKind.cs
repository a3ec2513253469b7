namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The transports that every behaviour test runs against.</summary>
public enum TransportKind
{
    Sockets,
    EpollThreadPool,
    EpollInline,
    EpollAdaptive,
}
