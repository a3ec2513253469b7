using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Resumes run on a thread of their loop unless their connection is known to block, then on a worker, and on the thread pool when
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

    public override void ResumeFromLoop(IResumable work, EventLoop loop, bool wasDeferred = false)
    {
        ref DispatchProfile profile = ref work.Profile;
        if (!profile.RunsInline)
        {
            RunOffLoop(work);
        }
        else if (profile.IsLong && !wasDeferred)
        {
            loop.Defer(work);
        }
        else if (workers.HasReserve)
        {
            counters.RanInline(loop.Index);
            work.Execute();
        }
        else
        {
            // Should it block, nobody could take this loop over. By itself, and not behind what waits and may block.
            alarm.WorkersRanOut();
            counters.RanOffLoop(onWorker: false);
            workers.QueueToPool(work);
        }
    }

    private void RunOffLoop(IResumable work)
    {
        if (workers.IsExhausted)
        {
            alarm.WorkersRanOut();
        }

        // Who proves to be quick must not do it behind all that blocks: 150 ms for each request, beside a thousand handlers
        // that sleep.
        workers.OffLoop.Enqueue(work, work.Profile.IsQuick);
    }
}
