namespace KestrelEpollTransport.Loops;

/// <summary>
/// How long a pass takes before another thread is called: the longer, the more of those that came lately found no processor for them.
/// Hints: threads may overwrite each other's notes.
/// </summary>
/// <remarks>
/// To call one in vain costs 20 µs of both. So what came in vain doubles the delay, and what did not, or the time, halves it: where no
/// processor is free for long, somebody looks 20 times a second.
/// </remarks>
internal struct CallDelay
{
    /// <summary>A pass that takes so long keeps others waiting for longer than a thread that waits for its turn of a processor.</summary>
    internal static readonly TimeSpan Most = TimeSpan.FromMilliseconds(2);

    internal static readonly TimeSpan HalvesAfter = TimeSpan.FromMilliseconds(50);

    private readonly TimeSpan _least;
    private TimeSpan _delay;
    private long _changed;

    /// <param name="least">Where processors are free.</param>
    public CallDelay(TimeSpan least) => _least = _delay = least;

    /// <summary>The delay at this moment.</summary>
    public TimeSpan Get(TimeProvider time)
    {
        if (_delay > _least && time.GetElapsedTime(_changed) is var elapsed && elapsed >= HalvesAfter)
        {
            Change(_delay / Math.Pow(2, Math.Floor(elapsed / HalvesAfter)), time);
        }

        return _delay;
    }

    /// <summary>A thread that was called has come.</summary>
    public void NoteCame(bool inVain, TimeProvider time) => Change(inVain ? _delay * 2 : _delay / 2, time);

    /// <summary>The system had no thread: to ask costs more than most dispatches.</summary>
    public void NoteRefused(TimeProvider time) => Change(Most, time);

    private void Change(TimeSpan delay, TimeProvider time)
    {
        _changed = time.GetTimestamp();
        TimeSpan most = delay < Most ? delay : Most;
        _delay = most > _least ? most : _least;
    }
}
