namespace RandomEnds.Transports;

/// <summary>A transport, and of ours each scheduling mode.</summary>
internal enum Subject
{
    Sockets,
    Adaptive,
    ThreadPool,
    UnsafeInline,
}
