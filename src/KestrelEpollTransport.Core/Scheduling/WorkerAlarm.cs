using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Says that workers have run out: once, and again when it lasts. On the thread pool, because loggers may block, and whoever
/// finds out may not. Thread-safe.
/// </summary>
internal sealed class WorkerAlarm(ILogger logger, int maxWorkers) : IThreadPoolWorkItem
{
    private const int RepeatAfterMs = 60_000;

    private long _nextMs = long.MinValue;

    public void WorkersRanOut()
    {
        long nextMs = Volatile.Read(ref _nextMs);
        long nowMs = Environment.TickCount64;
        if (nowMs >= nextMs && Interlocked.CompareExchange(ref _nextMs, nowMs + RepeatAfterMs, nextMs) == nextMs)
        {
            Uninterrupted.QueueToPool(this);
        }
    }

    void IThreadPoolWorkItem.Execute() => SchedulingLog.WorkersRanOut(logger, maxWorkers);
}
