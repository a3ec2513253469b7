using System.Diagnostics.CodeAnalysis;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Work on its way to threads: one call for a thread takes many pieces, so that finding and waking a thread is paid once a
/// burst; and, where there are slots for it, no more threads than can compute at a time for work that is not known to block.
/// Thread-safe.
/// </summary>
/// <remarks>
/// At most one thread has been called and has not yet come; any number may be draining. One that drains calls for the next
/// before each piece of work if more wait, so what blocks keeps nothing waiting but itself, as far as there are threads. Where
/// there is none to be called, the next piece of work tries again: a flag that says that somebody comes is never left behind.
/// <para>Threads that only compute help nobody when there are more of them than processors: they take the processors from each
/// other, from the loops and from the compiler, and each makes the others' work look dear. So such work is taken with one of the
/// <see cref="ComputingSlots"/> only, and held back while all are taken.</para>
/// <para>The window: work is enqueued while a thread finds the queue empty and leaves. The thread clears the flag (a fence)
/// before it dequeues; <see cref="Enqueue"/> enqueues and then takes the flag (a fence): either the thread sees the work, or
/// the flag is clear and another one is called. Who found nobody and is about to clear the flag may have made another one think
/// that somebody comes: whoever frees a thread looks for both, see <see cref="TryCallThread"/>.</para>
/// <para>The window of what is held back: work is enqueued (a fence), then the slots are looked at. Who gives a slot back (a
/// fence) looks at the queue afterwards: it sees the work, or the slot was free. A thread that takes a slot for nothing, because
/// others were faster, gives it back and looks once more for the same reason.</para>
/// </remarks>
internal abstract class WorkQueue(ComputingSlots? slots = null) : IThreadPoolWorkItem
{
    /// <summary>How long a drain keeps a thread of the pool from the pool's other work.</summary>
    private const int MaxPoolRunMs = 15;

    /// <summary>So many pieces of quick work come before one that is not, or it might wait for as long as quick work keeps coming.</summary>
    private const int MaxQuickInARow = 8;

    private readonly WorkLane _quick = new();
    private readonly WorkLane _dear = new();
    private int _called;

    // A hint: threads may overwrite each other's counts.
    private int _quickInARow;

    /// <summary>Null: work that computes gets as many threads as any.</summary>
    protected ComputingSlots? Slots => slots;

    /// <summary>Whether work that computes needs a slot; false: a thread is called for whatever waits.</summary>
    protected virtual bool HoldsBack => Slots is not null;

    protected bool IsEmpty => _quick.IsEmpty && _dear.IsEmpty;

    // After a full fence that follows whatever was enqueued, or freed.
    private bool IsMoreOfUse =>
        !_quick.MayBlock.IsEmpty || !_dear.MayBlock.IsEmpty
        || ((!_quick.Computes.IsEmpty || !_dear.Computes.IsEmpty) && (!HoldsBack || Slots!.HasFree));

    /// <summary>Has a thread run <paramref name="work"/>.</summary>
    /// <param name="work">What to run.</param>
    /// <param name="isQuick">Whether it comes before work that is not, but for a small part of that.</param>
    /// <param name="mayBlock">Whether it wants a thread however many run; false: it computes, as far as is known.</param>
    public void Enqueue(IThreadPoolWorkItem work, bool isQuick = false, bool mayBlock = true)
    {
        WorkLane lane = isQuick ? _quick : _dear;
        if (mayBlock)
        {
            lane.MayBlock.Enqueue(work);
            CallOnce();
        }
        else
        {
            lane.Computes.Enqueue(work);
            Interlocked.MemoryBarrier();
            CallIfOfUse();
        }
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

    /// <summary>Work waits for a slot, and nobody was called. After a full fence.</summary>
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
        while (TryTake(out IThreadPoolWorkItem? work, out SlotLease lease))
        {
            CallIfOfUse();
            OnTaken(work, untilMs);

            // Not before: calling somebody can wait for a new thread, which is not the work's doing.
            lease.Begin(work);
            work.Execute();
            baseline.Restore();
            lease.GiveBack();
            if (ShouldLeave(untilMs))
            {
                break;
            }
        }

        CallIfOfUse();
    }

    /// <summary>Has one more thread come, if one would find something to do. After a full fence.</summary>
    protected void CallIfOfUse()
    {
        if (IsEmpty)
        {
            return;
        }

        if (IsMoreOfUse)
        {
            CallOnce();
        }
        else
        {
            OnHeldBack();
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

    private bool TryTake([NotNullWhen(true)] out IThreadPoolWorkItem? work, out SlotLease lease)
    {
        if (_quickInARow < MaxQuickInARow && TryTakeFrom(_quick, out work, out lease))
        {
            _quickInARow++;
            return true;
        }

        if (_quickInARow != 0)
        {
            _quickInARow = 0;
        }

        return TryTakeFrom(_dear, out work, out lease) || TryTakeFrom(_quick, out work, out lease);
    }

    private bool TryTakeFrom(WorkLane lane, [NotNullWhen(true)] out IThreadPoolWorkItem? work, out SlotLease lease)
    {
        lease = default;
        return lane.NextTurn()
            ? TryTakeComputing(lane, out work, out lease) || lane.MayBlock.TryDequeue(out work)
            : lane.MayBlock.TryDequeue(out work) || TryTakeComputing(lane, out work, out lease);
    }

    private bool TryTakeComputing(WorkLane lane, [NotNullWhen(true)] out IThreadPoolWorkItem? work, out SlotLease lease)
    {
        work = null;
        lease = default;
        while (!lane.Computes.IsEmpty && (!HoldsBack || Slots!.TryTake(out lease)))
        {
            if (lane.Computes.TryDequeue(out work))
            {
                return true;
            }

            lease.GiveBack();
        }

        return false;
    }
}
