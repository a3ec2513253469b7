namespace KestrelEpollTransport.Diagnostics;

/// <summary>
/// How often a loop has waited, what that told, and how long it was busy. Written by who holds the right to poll, which publishes it; read by
/// any thread.
/// </summary>
/// <remarks>
/// Plain stores of one thread at a time, once a wait and not once a request. Who reads sees each number whole, and perhaps of a moment ago.
/// <para><b>Busy time is one word</b>, so that a reader never sees half of a change, and a loop that has slept for an hour need not be woken to
/// tell so.</para>
/// <code>
/// the loop   the word                                  busy so far
/// idle       the ticks that it was busy, 0 or more     the word
/// busy       those, less the time when it woke up      the word and the time now
/// </code>
/// A clock that began with the machine is always ahead of what a loop has been busy, so the word is negative while the loop is.
/// </remarks>
internal struct LoopTotals
{
    private long _waits;
    private long _events;
    private long _busy;

    /// <summary>How many waits have returned: the passes.</summary>
    public readonly long Waits => Volatile.Read(in _waits);

    /// <summary>How many events they told.</summary>
    public readonly long Events => Volatile.Read(in _events);

    /// <summary>For how long the loop did not wait, all together. In ticks, like <paramref name="now"/>, which is read before this is called.</summary>
    public readonly long GetBusy(long now)
    {
        long busy = Volatile.Read(in _busy);
        return busy < 0 ? now + busy : busy;
    }

    /// <summary>The loop waits, or polls because it has nothing to do.</summary>
    /// <param name="since">From when on. 0: it does not wait, as something is there to do.</param>
    public void OnIdle(long since)
    {
        if (since != 0 && _busy < 0)
        {
            Volatile.Write(ref _busy, since + _busy);
        }
    }

    /// <summary>A wait has returned.</summary>
    public void OnTold(int events, long now)
    {
        Volatile.Write(ref _waits, _waits + 1);
        Volatile.Write(ref _events, _events + events);
        if (_busy >= 0)
        {
            Volatile.Write(ref _busy, _busy - now);
        }
    }
}
