using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Listening;

/// <summary>The listeners of one transport that are bound. Thread-safe.</summary>
internal sealed class ListenerSet
{
    private readonly Lock _lock = new();
    private readonly HashSet<EpollListener> _listeners = [];

    public bool IsEmpty => Snapshot().Length == 0;

    public void Add(EpollListener listener)
    {
        using (_lock.Hold())
        {
            _listeners.Add(listener);
        }
    }

    public void Remove(EpollListener listener)
    {
        using (_lock.Hold())
        {
            _listeners.Remove(listener);
        }
    }

    public EpollListener[] Snapshot()
    {
        using (_lock.Hold())
        {
            return [.. _listeners];
        }
    }
}
