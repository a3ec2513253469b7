namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The transports that every behaviour test runs against.</summary>
public enum TransportKind
{
    Sockets,
    EpollThreadPool,
    EpollInline,
    EpollAdaptive,

    /// <summary>The same with <see cref="EpollTransportOptions.ScheduleContinuations"/>.</summary>
    EpollContinuations,

    /// <summary>Ours over the model of kqueue, on the thread pool: what macOS and FreeBSD get, as far as Linux can show it.</summary>
    KqueueModel,
}
