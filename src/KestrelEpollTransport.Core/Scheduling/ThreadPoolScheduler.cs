using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>Every resume is one work item of the .NET thread pool: the connection's own object, so no allocation.</summary>
internal sealed class ThreadPoolScheduler : ConnectionScheduler
{
    // The global queue in both cases: a connection that yields goes behind what others have queued.
    public override void Resume(IThreadPoolWorkItem work, EventLoop loop) =>
        ThreadPool.UnsafeQueueUserWorkItem(work, preferLocal: false);

    public override void ResumeFromLoop(IThreadPoolWorkItem work, EventLoop loop) =>
        ThreadPool.UnsafeQueueUserWorkItem(work, preferLocal: false);
}
