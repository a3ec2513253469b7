using System.Diagnostics.CodeAnalysis;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Work on its way to threads: one call for a thread takes many pieces, so that finding and waking a thread is paid once a burst.
/// Thread-safe.
/// </summary>
/// <remarks>
/// At most one thread has been called and has not yet come; any number may be draining. One that drains calls the next one before each
/// piece of work if more wait, so what blocks keeps nothing waiting but itself, as far as there are threads. Where there is none to be
/// called, the next piece of work tries again: a flag that says that somebody comes is never left behind.
/// <para><b>A thread leaves while work comes.</b> T1 clears the flag (a fence) and then finds the queue empty. T2 enqueues and then takes the
/// flag (a fence). Either T1 sees the work, or T2 finds the flag clear and calls. Who found nobody and is about to clear the flag may
/// have made another one think that somebody comes: whoever frees a thread looks for both, see <see cref="TryCallThread"/>.</para>
/// </remarks>
internal abstract class WorkQueue : IThreadPoolWorkItem
{
    /// <summary>How long a drain keeps a thread of the pool from the pool's other work.</summary>
    private const int MaxPoolRunMs = 15;

    /// <summary>So many pieces of quick work come before one that is not, or it might wait for as long as quick work keeps coming.</summary>
    private const int MaxQuickInARow = 8;

    private readonly UninterruptedQueue<IThreadPoolWorkItem> _quick = new();
    private readonly UninterruptedQueue<IThreadPoolWorkItem> _slow = new();
    private int _called;

    // A hint: threads may overwrite each other's counts.
    private int _quickInARow;

    /// <summary>Whether nothing waits.</summary>
    public bool IsEmpty => _quick.IsEmpty && _slow.IsEmpty;

    /// <summary>Has a thread run <paramref name="work"/>.</summary>
    /// <param name="work">What to run.</param>
    /// <param name="isQuick">Whether it comes before work that is not, but for a small part of that.</param>
    public void Enqueue(IThreadPoolWorkItem work, bool isQuick = false)
    {
        (isQuick ? _quick : _slow).Enqueue(work);
        CallOnce();
    }

    void IThreadPoolWorkItem.Execute()
    {
        OnPoolThread();

        // The pool restores a thread between its items, and to it all of these are one.
        Drain(ThreadBaseline.Capture(), Environment.TickCount64 + MaxPoolRunMs);
    }

    /// <summary>The thread pool has come, and drains next.</summary>
    protected virtual void OnPoolThread()
    {
    }

    /// <summary>A thread is about to run <paramref name="work"/>.</summary>
    protected virtual void OnTaken(IThreadPoolWorkItem work, long untilMs)
    {
    }

    /// <summary>Whether a thread is to leave what still waits to the next one.</summary>
    protected virtual bool ShouldLeave(long untilMs) => Environment.TickCount64 >= untilMs;

    /// <summary>
    /// Has a thread call <see cref="Drain"/>, or the thread pool execute this. False: nobody is to be had. Then whoever has time
    /// from now on has to look at the queue, without being called.
    /// </summary>
    protected abstract bool TryCallThread();

    /// <summary>Nobody was to be had, and work that came meanwhile may have taken that for a call. After a full fence.</summary>
    protected virtual void OnNobodyCalled()
    {
    }

    /// <summary>The thread that was called has come: runs what waits.</summary>
    /// <param name="baseline">What the thread looks like before and after each piece.</param>
    /// <param name="untilMs">When to leave the rest to the next thread, in the time of <see cref="Environment.TickCount64"/>.</param>
    protected void Drain(in ThreadBaseline baseline, long untilMs)
    {
        Interlocked.Exchange(ref _called, 0);
        while (TryTake(out IThreadPoolWorkItem? work))
        {
            CallIfMoreWaits();
            OnTaken(work, untilMs);
            work.Execute();
            baseline.Restore();
            if (ShouldLeave(untilMs))
            {
                break;
            }
        }

        CallIfMoreWaits();
    }

    private void CallIfMoreWaits()
    {
        if (!IsEmpty)
        {
            CallOnce();
        }
    }

    private void CallOnce()
    {
        if (Interlocked.Exchange(ref _called, 1) == 0 && !TryCallThread())
        {
            Interlocked.Exchange(ref _called, 0);
            OnNobodyCalled();
        }
    }

    private bool TryTake([NotNullWhen(true)] out IThreadPoolWorkItem? work)
    {
        if (_quickInARow < MaxQuickInARow && _quick.TryDequeue(out work))
        {
            _quickInARow++;
            return true;
        }

        if (_quickInARow != 0)
        {
            _quickInARow = 0;
        }

        return _slow.TryDequeue(out work) || _quick.TryDequeue(out work);
    }
}
