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

    private readonly LinkedList<Lingering> _list = [];
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

    public void Add(Lingering lingering)
    {
        Lingering? surplus = null;
        lock (_list)
        {
            lingering.Node = _list.AddLast(lingering);
            if (_list.Count > Limit)
            {
                surplus = TakeFirst();
            }

            if (!_ticking && !_disposed)
            {
                _ticking = _timer.Change(LookEveryMs, LookEveryMs);
            }
        }

        surplus?.Close();
    }

    /// <summary>The connection is closed. Idempotent.</summary>
    public void Remove(Lingering lingering)
    {
        lock (_list)
        {
            if (lingering.Node is { } node)
            {
                lingering.Node = null;
                _list.Remove(node);
            }
        }
    }

    public void Dispose()
    {
        lock (_list)
        {
            _disposed = true;
            _timer.Dispose();
        }
    }

    private void Look()
    {
        long nowMs = Environment.TickCount64;
        while (true)
        {
            Lingering due;
            lock (_list)
            {
                if (_list.First is not { } first)
                {
                    if (!_disposed)
                    {
                        _timer.Change(Timeout.Infinite, Timeout.Infinite);
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

    private Lingering TakeFirst()
    {
        Lingering first = _list.First!.Value;
        _list.RemoveFirst();
        first.Node = null;
        return first;
    }
}
