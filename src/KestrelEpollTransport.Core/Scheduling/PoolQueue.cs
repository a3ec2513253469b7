using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Scheduling;

/// <summary>Work of one loop on its way to the .NET thread pool.</summary>
internal sealed class PoolQueue : WorkQueue
{
    protected override bool TryCallThread()
    {
        Uninterrupted.QueueToPool(this);
        return true;
    }
}
