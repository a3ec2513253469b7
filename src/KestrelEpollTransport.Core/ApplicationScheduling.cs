namespace KestrelEpollTransport;

/// <summary>
/// Says on which thread the code that reads from a connection goes on when data arrives: for Kestrel that is
/// the parser and, until it first awaits something, the request's handler.
/// </summary>
public enum ApplicationScheduling
{
    /// <summary>
    /// The transport decides. This is the default. Today it does what <see cref="ThreadPool"/> does.
    /// </summary>
    Adaptive = 0,

    /// <summary>
    /// Every resumed connection runs on the .NET thread pool. Receiving, parsing, handling and sending happen
    /// there, on one thread, so a loop never waits for application code.
    /// </summary>
    ThreadPool = 1,

    /// <summary>
    /// Every resumed connection runs on its loop's own thread. The fastest mode, and the one in which a
    /// handler that blocks stops every other connection of that loop for as long: for code known not to block.
    /// </summary>
    UnsafeInline = 2,
}
