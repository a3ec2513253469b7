using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>Every resume runs on the .NET thread pool: the connection's own object is the work item, so no allocation.</summary>
internal sealed class ThreadPoolScheduler : ConnectionScheduler
{
    public override void Resume(IResumable work, EventLoop loop) => Uninterrupted.QueueToPool(work);

    public override void ResumeFromLoop(IResumable work, EventLoop loop) => Resume(work, loop);
}
