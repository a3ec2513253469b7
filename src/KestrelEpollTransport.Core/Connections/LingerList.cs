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
    private Timer? _timer;
    private bool _disposed;

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
            _timer ??= _disposed ? null : Uninterrupted.Call(this, static list =>
            {
                // The context of the request that happens to end first must not live on in it.
                using AsyncFlowControl _ = ExecutionContext.SuppressFlow();
                return new Timer(static list => ((LingerList)list!).CloseDue(), list, LookEveryMs, LookEveryMs);
            });
        }

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

    public void Dispose()
    {
        using (_lock.Hold())
        {
            _disposed = true;
            Uninterrupted.Call(_timer, static timer =>
            {
                timer?.Dispose();
                return true;
            });
        }
    }

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
