using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>Every resume runs on the .NET thread pool: the connection's own object is the work item, so no allocation.</summary>
internal sealed class ThreadPoolScheduler(int loopCount) : ConnectionScheduler
{
    // One a loop: a call for a thread of the pool is paid once a burst.
    private readonly WorkQueue[] _queues = [.. Enumerable.Range(0, loopCount).Select(static _ => new WorkQueue())];

    public override void Resume(IResumable work, EventLoop loop) => _queues[loop.Index].Enqueue(work);

    public override void ResumeFromLoop(IResumable work, EventLoop loop) => Resume(work, loop);
}
