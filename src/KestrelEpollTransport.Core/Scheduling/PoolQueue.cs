using System.Collections.Concurrent;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Work of one loop on its way to the thread pool: one pool item takes many, so that the pool's own queue and its waking
/// of threads are paid once a burst. Thread-safe.
/// </summary>
/// <remarks>
/// At most one item is scheduled and not yet running; any number may run. One that runs schedules the next before each
/// piece of work if more wait, so what blocks keeps nothing waiting but itself, as far as the pool has threads.
/// <para>The window: work is enqueued while an item finds the queue empty and leaves. The item clears the flag (a fence)
/// before it dequeues; <see cref="Enqueue"/> enqueues and then takes the flag (a fence): either the item sees the work, or the
/// flag is clear and another item is scheduled.</para>
/// </remarks>
internal sealed class PoolQueue : IThreadPoolWorkItem
{
    /// <summary>How long one item keeps its thread from the pool's other work.</summary>
    private const int MaxRunMs = 15;

    private readonly ConcurrentQueue<IThreadPoolWorkItem> _queue = new();
    private int _scheduled;

    public void Enqueue(IThreadPoolWorkItem work)
    {
        _queue.Enqueue(work);
        Schedule();
    }

    void IThreadPoolWorkItem.Execute()
    {
        Interlocked.Exchange(ref _scheduled, 0);
        long startMs = Environment.TickCount64;

        // The pool does this between its items, and to it all of these are one.
        ThreadBaseline baseline = ThreadBaseline.Capture();
        while (_queue.TryDequeue(out IThreadPoolWorkItem? work))
        {
            if (!_queue.IsEmpty)
            {
                Schedule();
            }

            work.Execute();
            baseline.Restore();
            if (Environment.TickCount64 - startMs >= MaxRunMs)
            {
                if (!_queue.IsEmpty)
                {
                    Schedule();
                }

                return;
            }
        }
    }

    private void Schedule()
    {
        if (Interlocked.Exchange(ref _scheduled, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }
}
