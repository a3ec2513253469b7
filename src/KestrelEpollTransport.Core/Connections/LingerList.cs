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

    private const int LookEveryMs = 500;

    private readonly Lock _lock = new();
    private readonly LinkedList<UnreadInput> _list = [];
    private readonly Timer _timer;

    public LingerList()
    {
        // The context of whoever makes the transport must not live on in the timer.
        using (ExecutionContext.SuppressFlow())
        {
            _timer = new Timer(static list => ((LingerList)list!).CloseDue(), this, LookEveryMs, LookEveryMs);
        }
    }

    public void Add(UnreadInput lingering)
    {
        bool tooMany;
        using (_lock.Hold())
        {
            lingering.Node = _list.AddLast(lingering);
            tooMany = _list.Count > Limit;
        }

        if (tooMany)
        {
            TryCloseOldest();
        }
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

    public void Dispose() => Uninterrupted.Call(_timer, static timer =>
    {
        timer.Dispose();
        return true;
    });

    private void CloseDue()
    {
        long nowMs = Environment.TickCount64;
        while (TryCloseOldest(nowMs))
        {
        }
    }

    private bool TryCloseOldest(long dueBy)
    {
        UnreadInput oldest;
        using (_lock.Hold())
        {
            if (_list.First is not { } first || first.Value.DeadlineMs > dueBy)
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
