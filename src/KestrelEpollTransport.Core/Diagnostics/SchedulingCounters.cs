using System.Runtime.InteropServices;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>What adaptive scheduling did, counted since the transport was made. Thread-safe.</summary>
internal sealed class SchedulingCounters
{
    private readonly PaddedCount[] _inline;
    private long _onWorkers;
    private long _onPool;
    private long _handOffs;
    private long _demotions;
    private long _promotions;

    public SchedulingCounters(int loopCount) => _inline = new PaddedCount[loopCount];

    /// <summary>Dispatches that ran on their loop.</summary>
    public long Inline => _inline.Sum(static count => count.Value);

    /// <summary>Dispatches that ran on workers.</summary>
    public long OnWorkers => Volatile.Read(ref _onWorkers);

    /// <summary>Dispatches that ran on the thread pool because workers had run out.</summary>
    public long OnPool => Volatile.Read(ref _onPool);

    /// <summary>Loops that were given to another thread.</summary>
    public long HandOffs => Volatile.Read(ref _handOffs);

    /// <summary>Connections that left their loop because they block.</summary>
    public long Demotions => Volatile.Read(ref _demotions);

    /// <summary>Connections that came back to their loop.</summary>
    public long Promotions => Volatile.Read(ref _promotions);

    public void RanInline(int loop) => Interlocked.Increment(ref _inline[loop].Value);

    public void RanOffLoop(bool onWorker) => Interlocked.Increment(ref onWorker ? ref _onWorkers : ref _onPool);

    public void HandedOff() => Interlocked.Increment(ref _handOffs);

    public void Moved(bool toLoop) => Interlocked.Increment(ref toLoop ? ref _promotions : ref _demotions);

    // A cache line, and its neighbour that is fetched with it, for each loop: counted once a request.
    [StructLayout(LayoutKind.Explicit, Size = 128)]
    private struct PaddedCount
    {
        [FieldOffset(0)]
        public long Value;
    }
}
