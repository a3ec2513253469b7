using System.Runtime.InteropServices;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>How much ran on which kind of thread. Thread-safe.</summary>
internal sealed class ThreadCounts(int loopCount)
{
    private readonly PaddedCount[] _onLoops = new PaddedCount[loopCount];
    private long _onWorkers;
    private long _onPool;

    /// <summary>On a thread that drives its loop.</summary>
    public long OnLoops => _onLoops.Sum(static count => count.Value);

    /// <summary>On workers.</summary>
    public long OnWorkers => Volatile.Read(ref _onWorkers);

    /// <summary>On the thread pool, because workers had run out, the system refused one, or the loops have ended.</summary>
    public long OnPool => Volatile.Read(ref _onPool);

    public void RanOnLoop(int loop) => Interlocked.Increment(ref _onLoops[loop].Value);

    public void RanOffLoop(bool onWorker) => Interlocked.Increment(ref onWorker ? ref _onWorkers : ref _onPool);

    // A cache line, and its neighbour that is fetched with it, for each loop: counted once a request.
    [StructLayout(LayoutKind.Explicit, Size = 128)]
    private struct PaddedCount
    {
        [FieldOffset(0)]
        public long Value;
    }
}
