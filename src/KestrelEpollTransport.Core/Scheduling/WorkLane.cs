using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Scheduling;

/// <summary>Work of one rank that waits: what may block, and what computes as far as is known, in turns. Thread-safe.</summary>
internal sealed class WorkLane
{
    // A hint: threads may overwrite each other's turns.
    private bool _computesNext;

    public UninterruptedQueue<IThreadPoolWorkItem> MayBlock { get; } = new();

    public UninterruptedQueue<IThreadPoolWorkItem> Computes { get; } = new();

    public bool IsEmpty => MayBlock.IsEmpty && Computes.IsEmpty;

    /// <summary>Whether it is the turn of what computes, if both wait.</summary>
    public bool NextTurn() => _computesNext = !_computesNext;
}
