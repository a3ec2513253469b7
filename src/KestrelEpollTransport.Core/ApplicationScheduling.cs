namespace KestrelEpollTransport;

/// <summary>
/// Says on which thread the code that reads from a connection goes on when data arrives: for Kestrel that is
/// the parser and, until it first awaits something, the request's handler.
/// </summary>
public enum ApplicationScheduling
{
    /// <summary>
    /// The transport decides, by what a connection's code has done so far. This is the default. Code that computes runs on a thread of the
    /// connection's loop, which several share when one does not keep up; code that is known to block, or to compute for long, on threads that the transport keeps for
    /// it, at most <see cref="EpollTransportOptions.MaxWorkers"/> and a few more where none of those comes back. Code that
    /// blocks unexpectedly for longer than <see cref="EpollTransportOptions.HandOffLimit"/> keeps its thread and loses its place at the loop:
    /// another thread goes on with everyone else's connections.
    /// </summary>
    Adaptive = 0,

    /// <summary>
    /// Every resumed connection runs on the .NET thread pool. Receiving, parsing, handling and sending happen
    /// there, on one thread, so a loop never waits for application code.
    /// </summary>
    ThreadPool = 1,

    /// <summary>
    /// Every resumed connection runs on its loop's own thread. The fastest mode, and the one in which a
    /// handler that blocks stops every other connection of that loop for as long: for code known not to block. Code that blocks
    /// until a read or flush of its own connection ends would do so for ever: that read or flush fails, within some 200 ms, with an
    /// <see cref="InvalidOperationException"/>.
    /// </summary>
    UnsafeInline = 2,
}
