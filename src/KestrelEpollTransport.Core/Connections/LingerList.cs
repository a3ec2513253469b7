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

    // Under the lock.
    private readonly LinkedList<UnreadInput> _list = [];
    private readonly Timer _timer;
    private bool _ticking;
    private bool _disposed;

    public LingerList()
    {
        // The context of the request that happens to end first must not live on in the timer.
        using (ExecutionContext.SuppressFlow())
        {
            _timer = new Timer(static list => ((LingerList)list!).Look(), this, Timeout.Infinite, Timeout.Infinite);
        }
    }

    public void Add(UnreadInput lingering)
    {
        UnreadInput? surplus = null;
        using (_lock.Hold())
        {
            lingering.Node = _list.AddLast(lingering);
            if (_list.Count > Limit)
            {
                surplus = TakeFirst();
            }

            if (!_ticking && !_disposed)
            {
                _ticking = SetTimer(LookEveryMs);
            }
        }

        surplus?.Close();
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
    public bool TryCloseOldest()
    {
        UnreadInput? oldest;
        using (_lock.Hold())
        {
            oldest = _list.Count > 0 ? TakeFirst() : null;
        }

        oldest?.Close();
        return oldest is not null;
    }

    public void Dispose()
    {
        using (_lock.Hold())
        {
            _disposed = true;
            Uninterrupted.Call(_timer, static timer =>
            {
                timer.Dispose();
                return true;
            });
        }
    }

    private void Look()
    {
        long nowMs = Environment.TickCount64;
        while (true)
        {
            UnreadInput due;
            using (_lock.Hold())
            {
                if (_list.First is not { } first)
                {
                    if (!_disposed)
                    {
                        SetTimer(Timeout.Infinite);
                    }

                    _ticking = false;
                    return;
                }

                if (first.Value.DeadlineMs > nowMs)
                {
                    return;
                }

                due = TakeFirst();
            }

            // Outside the lock: closing comes back to Remove, and to the application's memory pool.
            due.Close();
        }
    }

    private bool SetTimer(int periodMs) =>
        Uninterrupted.Call((_timer, periodMs), static on => on._timer.Change(on.periodMs, on.periodMs));

    private UnreadInput TakeFirst()
    {
        UnreadInput first = _list.First!.Value;
        _list.RemoveFirst();
        first.Node = null;
        return first;
    }
}
