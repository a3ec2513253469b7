using System.Diagnostics.CodeAnalysis;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>When work of a <see cref="WorkQueue"/> is taken.</summary>
internal enum WorkLane
{
    /// <summary>It may block.</summary>
    Slow,

    /// <summary>It is not expected to: before the others, but for a small part of them.</summary>
    Quick,

    /// <summary>It is expected to compute for long: on so many threads at a time that a processor is left for what is short.</summary>
    Long,
}

/// <summary>
/// Work on its way to workers. One call for a worker takes many pieces, so that finding and waking a thread is paid once a burst. What no
/// worker will come for goes to the thread pool, piece by piece. Thread-safe.
/// </summary>
/// <remarks>
/// At most one thread has been called and has not yet come; any number may be draining. One that drains calls the next one before each
/// piece of work if more wait, so slow and quick work that blocks keeps nothing waiting but itself, as far as there are threads. Where there
/// is none to be called, the next piece of work tries again: a flag that says that somebody comes is never left behind.
/// <para><b>A thread leaves while work comes.</b> T1 clears the flag (a fence) and then finds the queue empty. T2 enqueues and then takes the
/// flag (a fence). Either T1 sees the work, or T2 finds the flag clear and calls. Who found nobody and is about to clear the flag may
/// have made another one think that somebody comes: whoever frees a worker looks for both, see <see cref="Workers.TryRest"/>. So with a piece of
/// long work that ends (a fence) while another one comes (a fence).</para>
/// <para><b>All workers are busy.</b> The next one that is done goes on with what waits. Where none has been for <see cref="LooksPerCall"/> looks of
/// the watch, all of them may wait for what waits here, and one worker more may be busy, until others come back by
/// themselves; so, too, where the reserve is gone. The window: the watch parks while a call is missed. The work is enqueued before the call
/// is missed, then comes a fence, and the watch is unparked; it looks at the queue once more after its own fence. Where the system has no
/// thread for one worker more, the pool gets what is quick and one of the others; where no worker is busy, and so will come back, all.</para>
/// <para><b>Long work that blocks,</b> perhaps for other long work, keeps its place. As long as none ends, and some waits, there is one place
/// more each <see cref="LooksPerPlace"/> looks.</para>
/// </remarks>
/// <param name="workers">Who runs it.</param>
/// <param name="maxLong">On how many threads long work runs at a time.</param>
internal sealed class WorkQueue(Workers workers, int maxLong) : IWatched
{
    /// <summary>How many looks of the watch nothing is taken for before a worker more is called.</summary>
    internal static readonly int LooksPerCall = (int)(TimeSpan.FromMilliseconds(100) / WatchThread.Interval);

    /// <summary>How many looks long work waits for before there is a place more.</summary>
    internal static readonly int LooksPerPlace = LooksPerCall / 3;

    /// <summary>So many pieces of quick work come before one that is not, or it might wait for as long as quick work keeps coming.</summary>
    private const int MaxQuickInARow = 8;

    /// <summary>
    /// How often a worker without work gives way before it rests: waking another one costs more. Handlers that sleep 1 ms: 25 µs a request
    /// instead of 32.
    /// </summary>
    private const int YieldsBeforeRest = 3;

    private readonly UninterruptedQueue<IThreadPoolWorkItem> _quick = new(), _slow = new(), _long = new();
    private int _called;
    private int _inLong;
    private volatile int _placesMore;
    private volatile bool _isUnwatched;

    // Hints: threads may overwrite each other's.
    private int _quickInARow;
    private bool _wasLong;

    // Written by workers whenever it is not set; the thread that came back first lately.
    private volatile bool _moved;
    private volatile int _cameBack;

    // Of the watch; the last of them is set to 0 where long work ends, too.
    private int _looks;
    private int _looksOfWindow;
    private int _longLooks;

    /// <summary>How many pieces wait.</summary>
    public int Waiting => _quick.Count + _slow.Count + _long.Count;

    /// <summary>Whether nothing waits.</summary>
    public bool IsEmpty => _quick.IsEmpty && _slow.IsEmpty && _long.IsEmpty;

    bool IWatched.IsQuiet => IsEmpty && workers.HasReserve;

    /// <summary>Whether something waits that may be taken.</summary>
    public bool HasMore => !_quick.IsEmpty || !_slow.IsEmpty || HasLong;

    private bool HasLong => !_long.IsEmpty && Volatile.Read(ref _inLong) < Places;

    private int Places => _isUnwatched ? int.MaxValue : maxLong + _placesMore;

    /// <summary>Has a worker run <paramref name="work"/>.</summary>
    public void Enqueue(IThreadPoolWorkItem work, WorkLane lane = WorkLane.Slow)
    {
        (lane == WorkLane.Long ? _long : lane == WorkLane.Quick ? _quick : _slow).Enqueue(work);
        if (lane == WorkLane.Long)
        {
            Interlocked.MemoryBarrier();
        }

        if (lane != WorkLane.Long || HasLong)
        {
            CallOnce();
        }
        else
        {
            workers.CallWatch();
        }
    }

    /// <summary>A worker that was called has come.</summary>
    public void Drain(in ThreadBaseline baseline)
    {
        Interlocked.Exchange(ref _called, 0);
        while (TryTake(out IThreadPoolWorkItem? work, out bool isLong) || (GiveWay() && TryTake(out work, out isLong)))
        {
            CallIfMoreWaits();
            if (!_moved)
            {
                _moved = true;
            }

            Count(work, onWorker: true);
            work.Execute();
            baseline.Restore();
            if (isLong)
            {
                _placesMore = 0;
                _longLooks = 0;
                Interlocked.Decrement(ref _inLong);
            }

            // A worker too many goes back to the reserve, or home.
            if (!workers.HasReserve || (HaveOthersComeBack() && workers.TryLowerBound()))
            {
                break;
            }
        }

        CallIfMoreWaits();
    }

    /// <summary>Nobody will look any more: what waits, and does not find a worker from now on, goes to the thread pool.</summary>
    public void GiveUp()
    {
        _isUnwatched = true;
        Interlocked.MemoryBarrier();
        MoveToPool();
    }

    void IWatched.Look(TimeSpan elapsed)
    {
        _looks = (HasMore || !workers.HasReserve) && !_moved ? _looks + 1 : 0;
        _longLooks = _long.IsEmpty || HasLong ? 0 : _longLooks + 1;
        _moved = false;
        if (--_looksOfWindow <= 0)
        {
            _looksOfWindow = LooksPerCall;
            _cameBack = 0;
        }

        if (_looks >= LooksPerCall)
        {
            _looks = 0;
            if (!workers.TryCall(isOneMore: true))
            {
                // The system refuses it, and so it does to the pool: one of what may block at a time, while a worker may come back.
                MoveToPool(all: workers.Busy == 0);
            }
        }

        if (_longLooks >= LooksPerPlace)
        {
            _longLooks = 0;
            _placesMore++;
            CallIfMoreWaits();
        }
    }

    // To threads that may be about to enqueue. Whoever does so meanwhile calls somebody else, and waits for nothing. True: something came.
    private bool GiveWay()
    {
        for (int i = 0; i < YieldsBeforeRest && !HasMore; i++)
        {
            Thread.Yield();
        }

        return HasMore;
    }

    // Where they do by themselves, nobody has to be more than the bound.
    private bool HaveOthersComeBack()
    {
        int me = Environment.CurrentManagedThreadId;
        int first = _cameBack;
        if (first == 0)
        {
            _cameBack = me;
        }

        return first != 0 && first != me;
    }

    private bool TryTake([NotNullWhen(true)] out IThreadPoolWorkItem? work, out bool isLong)
    {
        isLong = false;
        if (_quickInARow < MaxQuickInARow && _quick.TryDequeue(out work))
        {
            _quickInARow++;
            return true;
        }

        if (_quickInARow != 0)
        {
            _quickInARow = 0;
        }

        // In turns, where both wait.
        bool slowFirst = _wasLong && !_slow.IsEmpty;
        work = null;
        _wasLong = isLong = !slowFirst && TryTakeLong(out work);
        return isLong || _slow.TryDequeue(out work) || _quick.TryDequeue(out work) || (isLong = TryTakeLong(out work));
    }

    private bool TryTakeLong([NotNullWhen(true)] out IThreadPoolWorkItem? work)
    {
        work = null;
        if (!HasLong)
        {
            return false;
        }

        if (Interlocked.Increment(ref _inLong) <= Places && _long.TryDequeue(out work))
        {
            return true;
        }

        Interlocked.Decrement(ref _inLong);
        return false;
    }

    private void CallIfMoreWaits()
    {
        if (HasMore)
        {
            CallOnce();
        }
    }

    private void CallOnce()
    {
        if (Interlocked.Exchange(ref _called, 1) != 0 || workers.TryCall())
        {
            return;
        }

        // Nobody is to be had: whoever has time from now on has to look at the queue, without being called. With a fence, and before what
        // follows, which is also for those who thought meanwhile that somebody comes.
        Interlocked.Exchange(ref _called, 0);

        // Nobody looking: either this sees that, or who gave up sees the work. Nobody busy: the system refuses threads, and no worker will
        // come back.
        if (_isUnwatched || workers.Busy == 0)
        {
            MoveToPool();
        }
        else
        {
            workers.CallWatch();
        }
    }

    private void MoveToPool(bool all = true)
    {
        IThreadPoolWorkItem? work;
        while (_quick.TryDequeue(out work))
        {
            QueueToPool(work);
        }

        while (_slow.TryDequeue(out work) || _long.TryDequeue(out work))
        {
            QueueToPool(work);
            if (!all)
            {
                return;
            }
        }
    }

    private void QueueToPool(IThreadPoolWorkItem work)
    {
        Count(work, onWorker: false);
        workers.QueueToPool(work);
    }

    private void Count(IThreadPoolWorkItem work, bool onWorker)
    {
        if (work is IResumable)
        {
            workers.Counters?.Dispatches.RanOffLoop(onWorker);
        }
    }
}
