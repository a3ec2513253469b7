using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Resumes run on a thread of their loop unless their connection is known to block, or to compute for long: then on a worker. Where those
/// have run out, and no loop could be taken over, the thread pool runs what is not known to do either.
/// </summary>
internal sealed class AdaptiveScheduler(Workers workers, SchedulingCounters counters) : ConnectionScheduler
{
    public override void Resume(IResumable work, EventLoop loop)
    {
        if (!TryRunOffLoop(work))
        {
            // When its turn comes, it asks again.
            loop.Post(work);
        }
    }

    public override void ResumeFromLoop(IResumable work, EventLoop loop)
    {
        if (TryRunOffLoop(work))
        {
            return;
        }

        if (workers.HasReserve)
        {
            counters.Dispatches.RanOnLoop(loop.Index);
            work.Execute();
        }
        else
        {
            // Should it block, nobody could take this loop over. By itself, and not behind what waits and may block.
            workers.NoteExhausted();
            counters.Dispatches.RanOffLoop(onWorker: false);
            workers.QueueToPool(work);
        }
    }

    private bool TryRunOffLoop(IResumable work)
    {
        if (work.Lane is not { } lane)
        {
            return false;
        }

        if (workers.IsExhausted)
        {
            workers.NoteExhausted();
        }

        workers.OffLoop.Enqueue(work, lane);
        return true;
    }
}
