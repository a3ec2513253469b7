using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The lingering connections of one transport, oldest first: closes those whose time is over, and the oldest when
/// there are too many. Thread-safe.
/// </summary>
internal sealed class LingerList : IDisposable
{
    /// <summary>They hold descriptors, which new connections may need more.</summary>
    public const int Limit = 1_024;

    private static readonly TimeSpan s_lookEvery = TimeSpan.FromMilliseconds(500);

    private readonly Lock _lock = new();
    private readonly LinkedList<UnreadInput> _list = [];
    private readonly LateTimer _timer;

    public LingerList() => _timer = new LateTimer(CloseDue, s_lookEvery);

    public int Count
    {
        get
        {
            using (_lock.Hold())
            {
                return _list.Count;
            }
        }
    }

    public void Add(UnreadInput lingering)
    {
        using (_lock.Hold())
        {
            lingering.Node = _list.AddLast(lingering);
        }

        _timer.Start();
        TryCloseOldest(dueBy: long.MaxValue, above: Limit);
    }

    /// <summary>The connection is closed. Idempotent.</summary>
    public void Remove(UnreadInput lingering)
    {
        using (_lock.Hold())
        {
            if (lingering.Node is { } node)
            {
                lingering.Node = null;
                _list.Remove(node);
            }
        }
    }

    /// <summary>
    /// Closes the one that has lingered longest, for whoever needs its descriptor more. False: there is none. It is free at once, unless a
    /// receive is in progress on it.
    /// </summary>
    public bool TryCloseOldest() => TryCloseOldest(dueBy: long.MaxValue);

    public void Dispose() => _timer.Dispose();

    private void CloseDue()
    {
        long nowMs = Environment.TickCount64;
        while (TryCloseOldest(nowMs))
        {
        }
    }

    private bool TryCloseOldest(long dueBy, int above = 0)
    {
        UnreadInput oldest;
        using (_lock.Hold())
        {
            if (_list.Count <= above || _list.First is not { } first || first.Value.DeadlineMs > dueBy)
            {
                return false;
            }

            oldest = first.Value;
            oldest.Node = null;
            _list.RemoveFirst();
        }

        // Outside the lock: closing comes back to Remove.
        oldest.Close();
        return true;
    }
}
