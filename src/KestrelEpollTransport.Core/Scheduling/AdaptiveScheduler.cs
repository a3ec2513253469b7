using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Resumes run on their loop as long as their connection is cheap, on a worker when it is not, and on the thread pool when
/// workers have run out and none comes back.
/// </summary>
internal sealed class AdaptiveScheduler(Workers workers, SchedulingCounters counters, WorkerAlarm alarm) : ConnectionScheduler
{
    public override void Resume(IResumable work, EventLoop loop)
    {
        if (work.Profile.RunsInline)
        {
            // When its turn comes, it asks again.
            loop.Post(work);
        }
        else
        {
            RunOffLoop(work);
        }
    }

    public override void ResumeFromLoop(IResumable work, EventLoop loop)
    {
        if (!work.Profile.RunsInline)
        {
            RunOffLoop(work);
        }
        else if (workers.HasReserve)
        {
            counters.RanInline(loop.Index);
            work.Execute();
        }
        else
        {
            // Should it block, nobody could take this loop over. By itself, and not behind the dear work that waits.
            alarm.WorkersRanOut();
            counters.RanOffLoop(onWorker: false);
            Uninterrupted.QueueToPool(work);
        }
    }

    private void RunOffLoop(IResumable work)
    {
        if (workers.IsExhausted)
        {
            alarm.WorkersRanOut();
        }

        // Who proves to be cheap must not do it behind all that blocks: 150 ms for each request, beside a thousand handlers
        // that sleep.
        ref DispatchProfile profile = ref work.Profile;
        workers.OffLoop.Enqueue(work, profile.IsQuick, profile.MayBlock);
    }
}
