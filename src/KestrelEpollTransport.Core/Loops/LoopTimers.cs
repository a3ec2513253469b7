using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Loops;

/// <summary>Work of a loop that is due later. Rarely more than a back-off, so a lock will do. Thread-safe.</summary>
internal sealed class LoopTimers(TimeProvider time)
{
    private readonly Lock _lock = new();
    private readonly PriorityQueue<ILoopWork, long> _timers = new();
    private volatile int _count;

    /// <summary>The time of these timers; 0 where there are none, who then needs no time.</summary>
    public long NowMsIfAny => _count == 0 ? 0 : NowMs;

    private long NowMs => time.GetTimestamp() / (time.TimestampFrequency / 1000);

    public void Add(ILoopWork work, int delayMs)
    {
        using (_lock.Hold())
        {
            _timers.Enqueue(work, NowMs + delayMs);
            _count = _timers.Count;
        }
    }

    /// <summary>How long until the next one is due: 0 if it is, -1 if there is none.</summary>
    public int GetTimeoutMs()
    {
        if (_count == 0)
        {
            return -1;
        }

        using (_lock.Hold())
        {
            return _timers.TryPeek(out _, out long dueMs) ? (int)Math.Clamp(dueMs - NowMs, 0, int.MaxValue) : -1;
        }
    }

    /// <summary>
    /// Takes one that was due at <paramref name="limitMs"/>, the earliest first. The same time for all of a pass: timers that set others would
    /// never let it end.
    /// </summary>
    public ILoopWork? Take(long limitMs)
    {
        if (_count == 0)
        {
            return null;
        }

        using (_lock.Hold())
        {
            if (!_timers.TryPeek(out _, out long dueMs) || dueMs > limitMs)
            {
                return null;
            }

            ILoopWork work = _timers.Dequeue();
            _count = _timers.Count;
            return work;
        }
    }
}
