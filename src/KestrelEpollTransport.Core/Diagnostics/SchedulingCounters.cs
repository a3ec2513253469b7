namespace KestrelEpollTransport.Diagnostics;

/// <summary>What adaptive scheduling did, counted since the transport was made. Thread-safe.</summary>
internal sealed class SchedulingCounters
{
    private long _handOffs;
    private long _demotions;
    private long _promotions;

    public SchedulingCounters(int loopCount)
    {
        Dispatches = new ThreadCounts(loopCount);
        Continuations = new ThreadCounts(loopCount);
    }

    /// <summary>Dispatches, continuations included.</summary>
    public ThreadCounts Dispatches { get; }

    /// <summary>Code that came back to the transport's threads after an await, or began there.</summary>
    public ThreadCounts Continuations { get; }

    /// <summary>Loops that were given to another thread.</summary>
    public long HandOffs => Volatile.Read(ref _handOffs);

    /// <summary>Connections that left their loop because they block.</summary>
    public long Demotions => Volatile.Read(ref _demotions);

    /// <summary>Connections that came back to their loop.</summary>
    public long Promotions => Volatile.Read(ref _promotions);

    public void HandedOff() => Interlocked.Increment(ref _handOffs);

    public void Moved(bool toLoop) => Interlocked.Increment(ref toLoop ? ref _promotions : ref _demotions);
}
