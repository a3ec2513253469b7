using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Work that is known to block, on its way to a worker; and, as far as they don't keep up, to the thread pool.
/// Thread-safe.
/// </summary>
/// <remarks>
/// When all workers are busy, the next one that is done goes on with what waits. The pool would not do it sooner, and meanwhile
/// threads of it would be blocked that others need: Kestrel starts each new connection there. So the pool gets one call each
/// <see cref="LooksPerCall"/> looks while work waits, about as slowly as it grows by itself. Only when no worker took anything in
/// such a time, as where all of them wait for what is still to come, are the workers <i>stuck</i>: then the pool is called at once
/// for all that may run. For ten times as long, because a worker that comes back is likely to be stuck in what it takes next.
/// <para>The window: the watch parks while a call is missed. The work is enqueued before the call is missed, then comes a
/// fence, and the watch is unparked; it looks at the queue once more after its own fence. That no work waits beside a worker
/// that rests is not up to the watch, see <see cref="Workers.TryRest"/>.</para>
/// </remarks>
internal sealed class OffLoopQueue(Workers workers) : WorkQueue, IWatched
{
    /// <summary>How many looks of the watch work waits for before the pool is called.</summary>
    internal static readonly int LooksPerCall = (int)(TimeSpan.FromMilliseconds(100) / WatchThread.Interval);

    /// <summary>How many looks workers that were found stuck are taken for stuck.</summary>
    internal static readonly int LooksStuck = 10 * LooksPerCall;

    private const long NoLimit = long.MaxValue;

    // Of the watch.
    private int _looksSinceCall;
    private int _looksSinceMove;
    private int _stuckLooksLeft;

    // Written by workers whenever it is not set.
    private volatile bool _moved;

    // Written by the watch.
    private volatile bool _isStuck;

    private volatile bool _isUnwatched;
    private int _poolCalls;

    bool IWatched.IsQuiet => IsEmpty && !_isStuck;

    /// <summary>A worker that was called has come.</summary>
    public void OnWorker(in ThreadBaseline baseline) => Drain(baseline, NoLimit);

    /// <summary>Nobody will look any more: what waits, and does not find a worker from now on, goes to the thread pool.</summary>
    public void GiveUp()
    {
        _isUnwatched = true;
        Interlocked.MemoryBarrier();
        if (!IsEmpty)
        {
            CallPool();
        }
    }

    void IWatched.Look(TimeSpan elapsed)
    {
        bool moved = _moved;
        _moved = false;
        if (_stuckLooksLeft > 0 && --_stuckLooksLeft == 0)
        {
            _isStuck = false;
        }

        bool isEmpty = IsEmpty;
        bool isExhausted = workers.IsExhausted;
        _looksSinceCall = isEmpty || !isExhausted ? 0 : _looksSinceCall + 1;
        _looksSinceMove = isEmpty || moved ? 0 : _looksSinceMove + 1;
        if (_looksSinceMove >= LooksPerCall)
        {
            _looksSinceMove = 0;
            _stuckLooksLeft = LooksStuck;
            _isStuck = true;
            CallPool();
        }
        else if (_looksSinceCall >= LooksPerCall)
        {
            _looksSinceCall = 0;
            CallPool();
        }
    }

    protected override bool TryCallThread()
    {
        if (workers.TryCall())
        {
            return true;
        }

        // Nobody busy: the system refuses threads, and no worker will come back. Nobody looking: enqueuing has fenced, so either
        // this sees that, or who gave up sees the work.
        if (_isStuck || _isUnwatched || workers.Busy == 0 || workers.CallWatch is not { } callWatch)
        {
            CallPool();
        }
        else
        {
            Interlocked.MemoryBarrier();
            callWatch();
        }

        // Also where the pool was called: before it comes, a worker may be free.
        return false;
    }

    protected override void OnNobodyCalled()
    {
        if (_isUnwatched && !IsEmpty)
        {
            CallPool();
        }
    }

    protected override void OnPoolThread() => Interlocked.Exchange(ref _poolCalls, 0);

    protected override void OnTaken(IThreadPoolWorkItem work, long untilMs)
    {
        bool isWorker = untilMs == NoLimit;
        if (isWorker && !_moved)
        {
            _moved = true;
        }

        if (work is IResumable)
        {
            workers.Counters?.RanOffLoop(isWorker);
        }
    }

    // A worker too many goes back to the reserve.
    protected override bool ShouldLeave(long untilMs) => untilMs == NoLimit ? !workers.HasReserve : base.ShouldLeave(untilMs);

    // One that was called and has not come takes along whatever there is when it comes.
    private void CallPool()
    {
        if (Interlocked.Exchange(ref _poolCalls, 1) == 0)
        {
            workers.QueueToPool(this);
        }
    }
}
