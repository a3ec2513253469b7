using System.Collections.Concurrent;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Work on its way to threads: one call for a thread takes many pieces, so that finding and waking a thread is paid once a
/// burst; and no more threads than can compute at a time, for work that is not known to block. Thread-safe.
/// </summary>
/// <remarks>
/// At most one thread has been called and has not yet come; any number may be draining. One that drains calls for the next
/// before each piece of work if more wait, so what blocks keeps nothing waiting but itself, as far as there are threads. Where
/// there is none to be called, the next piece of work tries again: a flag that says that somebody comes is never left behind.
/// <para>Threads that only compute help nobody when there are more of them than processors: they take the processors from each
/// other, from the loops and from the compiler, and each makes the others' work look dear. So as long as all that waits is not
/// known to block, a thread is called only while fewer than <c>maxComputing</c> run such work; each of those looks at the
/// queue when it is done.</para>
/// <para>The window: work is enqueued while a thread finds the queue empty and leaves. The thread clears the flag (a fence)
/// before it dequeues; <see cref="Enqueue"/> enqueues and then takes the flag (a fence): either the thread sees the work, or
/// the flag is clear and another one is called. Who found nobody and is about to clear the flag may have made another one think
/// that somebody comes: whoever frees a thread looks for both, see <see cref="TryCallThread"/>.</para>
/// <para>The window of who is held back: work is enqueued (and a fence), then the number of those that compute is read; a thread
/// leaves that number (a fence) and then looks at the queue: it sees the work, or was not counted any more.</para>
/// </remarks>
internal abstract class WorkQueue(int maxComputing = int.MaxValue) : IThreadPoolWorkItem
{
    /// <summary>How long a drain keeps a thread of the pool from the pool's other work.</summary>
    private const int MaxPoolRunMs = 15;

    /// <summary>So many pieces of quick work come before one that is not, or it might wait for as long as quick work keeps coming.</summary>
    private const int MaxQuickInARow = 8;

    private readonly ConcurrentQueue<Piece> _first = new();
    private readonly ConcurrentQueue<Piece> _queue = new();
    private int _called;

    // How much of what waits may block, at most.
    private int _waitingToBlock;

    // How many threads run what is not known to block.
    private int _computing;

    // How many pieces were taken so far.
    private int _taken;

    // A hint: threads may overwrite each other's counts.
    private int _quickInARow;

    /// <summary>How many threads are called for work that is not known to block.</summary>
    public int MaxComputing => maxComputing;

    /// <summary>Whether work that computes waits for threads that do; false: a thread is called for whatever waits.</summary>
    protected virtual bool HoldsBack => true;

    protected bool IsEmpty => _first.IsEmpty && _queue.IsEmpty;

    /// <summary>Has a thread run <paramref name="work"/>.</summary>
    /// <param name="work">What to run.</param>
    /// <param name="isQuick">Whether it comes before work that is not, but for a small part of that.</param>
    /// <param name="mayBlock">Whether it wants a thread however many run; false: it computes, as far as is known.</param>
    public void Enqueue(IThreadPoolWorkItem work, bool isQuick = false, bool mayBlock = true)
    {
        if (mayBlock)
        {
            Interlocked.Increment(ref _waitingToBlock);
        }

        (isQuick ? _first : _queue).Enqueue(new Piece(work, mayBlock));
        Interlocked.MemoryBarrier();
        CallIfOfUse();
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

    /// <summary>Work waits for those that compute, and nobody was called. After a full fence.</summary>
    protected virtual void OnHeldBack()
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

    /// <summary>The thread that was called has come: runs what waits.</summary>
    /// <param name="baseline">What the thread looks like before and after each piece.</param>
    /// <param name="untilMs">When to leave the rest to the next thread, in the time of <see cref="Environment.TickCount64"/>.</param>
    protected void Drain(in ThreadBaseline baseline, long untilMs)
    {
        Interlocked.Exchange(ref _called, 0);
        while (TryDequeue(out Piece piece))
        {
            int taken = OnDequeued(piece);
            if (!IsEmpty)
            {
                CallIfOfUse();
            }

            OnTaken(piece.Work, untilMs);
            piece.Work.Execute();
            baseline.Restore();
            if (!piece.MayBlock && Interlocked.Decrement(ref _computing) >= maxComputing && !IsMoreOfUse && Volatile.Read(ref _taken) != taken)
            {
                // One too many: called while work stood still, or for what might have blocked. And others go on; if they were
                // all blocked, unexpectedly, this would be the only one that does.
                return;
            }

            if (ShouldLeave(untilMs))
            {
                if (!IsEmpty)
                {
                    CallIfOfUse();
                }

                return;
            }
        }
    }

    /// <summary>Has one more thread come, however many run.</summary>
    protected void CallOnce()
    {
        if (Interlocked.Exchange(ref _called, 1) == 0 && !TryCallThread())
        {
            Interlocked.Exchange(ref _called, 0);
            OnNobodyCalled();
        }
    }

    /// <summary>Nobody was to be had, and work that came meanwhile may have taken that for a call. After a full fence.</summary>
    protected virtual void OnNobodyCalled()
    {
    }

    // After a full fence that follows whatever was enqueued.
    private bool IsMoreOfUse =>
        Volatile.Read(ref _waitingToBlock) > 0 || Volatile.Read(ref _computing) < maxComputing || !HoldsBack;

    private int OnDequeued(Piece piece)
    {
        if (piece.MayBlock)
        {
            Interlocked.Decrement(ref _waitingToBlock);
        }
        else
        {
            Interlocked.Increment(ref _computing);
        }

        return Interlocked.Increment(ref _taken);
    }

    private void CallIfOfUse()
    {
        if (IsMoreOfUse)
        {
            CallOnce();
        }
        else
        {
            OnHeldBack();
        }
    }

    private bool TryDequeue(out Piece work)
    {
        if (_quickInARow < MaxQuickInARow && _first.TryDequeue(out work))
        {
            _quickInARow++;
            return true;
        }

        if (_quickInARow != 0)
        {
            _quickInARow = 0;
        }

        return _queue.TryDequeue(out work) || _first.TryDequeue(out work);
    }

    private readonly record struct Piece(IThreadPoolWorkItem Work, bool MayBlock);
}
