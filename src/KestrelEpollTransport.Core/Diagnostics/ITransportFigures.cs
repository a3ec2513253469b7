namespace KestrelEpollTransport.Diagnostics;

/// <summary>What observable instruments tell: read where it is when somebody looks, so that nothing is counted for them. Thread-safe.</summary>
internal interface ITransportFigures
{
    /// <summary>Each loop that has started and not ended.</summary>
    LoopFigures[] GetLoops();

    ByteFigures GetBytes();

    PausedFigures GetPaused();

    QueueFigures GetQueues();

    /// <summary>All zero where scheduling is not adaptive.</summary>
    WorkerFigures GetWorkers();
}

/// <param name="Index">The position of the loop in its group.</param>
/// <param name="Connections">How many live on it.</param>
/// <param name="Waits">How many waits have returned.</param>
/// <param name="Events">How many events they told.</param>
/// <param name="BusySeconds">How long it did not wait.</param>
internal readonly record struct LoopFigures(int Index, int Connections, long Waits, long Events, double BusySeconds);

/// <param name="Received">From sockets, into the buffers of readers.</param>
/// <param name="Sent">Taken by the kernel.</param>
internal readonly record struct ByteFigures(long Received, long Sent);

/// <param name="Receiving">Connections that receive no more until the application has read.</param>
/// <param name="Sending">Connections whose flush waits for room.</param>
internal readonly record struct PausedFigures(int Receiving, int Sending);

/// <param name="Accepted">Connections that nobody has taken from their listener.</param>
/// <param name="Posted">Work for the loops.</param>
/// <param name="OffLoop">Work for the workers.</param>
internal readonly record struct QueueFigures(int Accepted, int Posted, int OffLoop);

/// <param name="Count">All threads.</param>
/// <param name="Busy">Those that run what is off the loops, or are stuck in a dispatch that cost them their seat.</param>
/// <param name="Limit">How many may be busy.</param>
internal readonly record struct WorkerFigures(int Count, int Busy, int Limit);
