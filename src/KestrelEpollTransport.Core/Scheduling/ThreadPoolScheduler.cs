using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>Every resume runs on the .NET thread pool: the connection's own object is the work item, so no allocation.</summary>
internal sealed class ThreadPoolScheduler : ConnectionScheduler
{
    private readonly PoolQueue[] _queues;

    public ThreadPoolScheduler(int loopCount)
    {
        _queues = new PoolQueue[loopCount];
        for (int i = 0; i < loopCount; i++)
        {
            _queues[i] = new PoolQueue();
        }
    }

    public override void Resume(IResumable work, EventLoop loop) => _queues[loop.Index].Enqueue(work);

    public override void ResumeFromLoop(IResumable work, EventLoop loop, bool wasDeferred = false) => _queues[loop.Index].Enqueue(work);
}
