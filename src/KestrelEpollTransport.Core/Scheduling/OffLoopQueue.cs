using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Work that is too dear for the loops, on its way to a worker; to the thread pool once <see cref="Workers"/> has none left.
/// Nothing ever queues behind workers that are blocked.
/// </summary>
internal sealed class OffLoopQueue(Workers workers) : WorkQueue
{
    private const long NoLimit = long.MaxValue;

    protected override void CallThread()
    {
        if (!workers.TryCall())
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    /// <summary>A worker that was called has come.</summary>
    public void OnWorker(in ThreadBaseline baseline) => Drain(baseline, NoLimit);

    // A worker too many goes back to the reserve.
    protected override bool ShouldLeave(long untilMs) => untilMs == NoLimit ? !workers.HasReserve : base.ShouldLeave(untilMs);
}
