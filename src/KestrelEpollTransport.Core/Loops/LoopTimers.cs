using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Loops;

/// <summary>Work of a loop that is due later. Rarely more than a back-off, so a lock will do. Thread-safe.</summary>
internal sealed class LoopTimers(TimeProvider time)
{
    private const long Never = long.MaxValue;

    /// <summary>So many are moved at a time, and the lock is held for that.</summary>
    private const int MostAtATime = 64;

    private readonly Lock _lock = new();
    private readonly PriorityQueue<ILoopWork, long> _timers = new();

    // When the next one is due. Written under the lock, and behind what is moved.
    private long _nextMs = Never;

    private long NowMs => time.GetTimestamp() / (time.TimestampFrequency / 1000);

    public void Add(ILoopWork work, int delayMs)
    {
        long dueMs = NowMs + delayMs;
        using HeldLock held = _lock.Hold();
        _timers.Enqueue(work, dueMs);
        NoteNext();
    }

    /// <summary>How long until the next one is due: 0 if it is, -1 if there is none.</summary>
    public int GetTimeoutMs()
    {
        long nextMs = Volatile.Read(ref _nextMs);
        return nextMs == Never ? -1 : (int)Math.Clamp(nextMs - NowMs, 0, int.MaxValue);
    }

    /// <summary>Moves those that are due, or all, to the end of a queue, the earliest first. Of many that are due some are left for the next pass.</summary>
    public void MoveTo(UninterruptedQueue<ILoopWork> queue, bool all = false)
    {
        if (!all && GetTimeoutMs() != 0)
        {
            return;
        }

        long limitMs = all ? Never : NowMs;
        using (_lock.Hold())
        {
            for (int left = all ? int.MaxValue : MostAtATime; left > 0 && _timers.TryPeek(out ILoopWork? work, out long dueMs) && dueMs <= limitMs; left--)
            {
                queue.Enqueue(work);
                _timers.Dequeue();
            }

            NoteNext();
        }
    }

    private void NoteNext() => Volatile.Write(ref _nextMs, _timers.TryPeek(out _, out long dueMs) ? dueMs : Never);
}
