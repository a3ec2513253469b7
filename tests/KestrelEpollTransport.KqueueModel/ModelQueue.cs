using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Bsd;

namespace KestrelEpollTransport.Tests;

/// <summary>
/// One queue of the <see cref="KqueueModel"/>: its filters, and which of them are active. One thread at a time waits, any
/// changes.
/// </summary>
/// <remarks>
/// Each direction has an epoll of its own, edge-triggered, because an epoll tells what is ready in both as soon as
/// something happens in one. An edge makes a filter active; whether it is told, and with what, is decided by a look at the
/// descriptor when the event is fetched, as a kernel's kqueue does it. The queue's descriptor is a third epoll over both and
/// over an eventfd, and waits.
/// </remarks>
internal sealed class ModelQueue : IDisposable
{
    private readonly Lock _lock = new();
    private readonly int _readEdges;
    private readonly int _writeEdges;
    private readonly int _userEdges;

    // Under the lock.
    private readonly Dictionary<(ulong Identifier, short Filter), ModelFilter> _filters = [];
    private readonly Dictionary<ulong, ModelFilter> _byKey = [];
    private readonly Queue<ModelFilter> _active = new();
    private readonly ulong[] _edges = new ulong[64];
    private ulong _lastKey;

    private ModelQueue(int descriptor, int readEdges, int writeEdges, int userEdges)
    {
        Descriptor = descriptor;
        _readEdges = readEdges;
        _writeEdges = writeEdges;
        _userEdges = userEdges;
    }

    public int Descriptor { get; }

    /// <summary>The new queue, or the error of a process that is out of descriptors.</summary>
    public static IoResult TryCreate(out ModelQueue? queue)
    {
        queue = null;
        Span<int> descriptors = [ModelCalls.CreateEpoll(), ModelCalls.CreateEpoll(), ModelCalls.CreateEpoll(), ModelCalls.CreateEvent()];
        int errno = 0;
        foreach (int descriptor in descriptors)
        {
            errno = descriptor < 0 ? -descriptor : errno;
        }

        if (errno != 0)
        {
            foreach (int descriptor in descriptors)
            {
                if (descriptor >= 0)
                {
                    SystemCalls.Close(descriptor);
                }
            }

            return IoResult.Failure(errno);
        }

        foreach (int source in descriptors[1..3])
        {
            errno |= ModelCalls.Control(descriptors[0], ModelCalls.Add, source, ModelCalls.Readable, 0);
        }

        // Written and never read: each write is an edge.
        errno |= ModelCalls.Control(descriptors[0], ModelCalls.Add, descriptors[3], ModelCalls.Readable | ModelCalls.EdgeTriggered, 0);
        Debug.Assert(errno == 0, "Four descriptors that were made just now.");
        queue = new ModelQueue(descriptors[0], descriptors[1], descriptors[2], descriptors[3]);
        return IoResult.Success(descriptors[0]);
    }

    /// <summary>Makes one change; returns its error, 0 for none.</summary>
    public int Apply(in Kevent change, short userFilter)
    {
        const int Known = Kevent.EV_ADD | Kevent.EV_DELETE | Kevent.EV_CLEAR | Kevent.EV_RECEIPT;
        if ((change.Flags & ~Known) != 0)
        {
            throw new NotSupportedException($"The model does not have the flags 0x{change.Flags:x}.");
        }

        lock (_lock)
        {
            if (change.Filter == userFilter)
            {
                return ApplyUser(change);
            }

            return change.Filter is Kevent.EVFILT_READ or Kevent.EVFILT_WRITE
                ? ApplyDescriptor(change)
                : throw new NotSupportedException($"The model does not have the filter {change.Filter}.");
        }
    }

    /// <summary>The active filters, or those that become active before the time is over.</summary>
    public IoResult Wait(Kevent[] events, TimeSpan? limit)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            lock (_lock)
            {
                CollectEdges(_readEdges);
                CollectEdges(_writeEdges);
                int told = Tell(events);
                if (told > 0)
                {
                    return IoResult.Success(told);
                }
            }

            int leftMs = -1;
            if (limit is { } most)
            {
                // Up, or the last part of a millisecond would be waited for in a busy loop.
                leftMs = (int)Math.Ceiling((most - Stopwatch.GetElapsedTime(start)).TotalMilliseconds);
                if (leftMs <= 0)
                {
                    return IoResult.Success(0);
                }
            }

            int errno = ModelCalls.Wait(Descriptor, [0, 0, 0], leftMs, out _);
            if (errno != 0)
            {
                return IoResult.Failure(errno);
            }
        }
    }

    public void Dispose()
    {
        foreach (int descriptor in (ReadOnlySpan<int>)[Descriptor, _readEdges, _writeEdges, _userEdges])
        {
            SystemCalls.Close(descriptor);
        }
    }

    private int ApplyUser(in Kevent change)
    {
        if (!TryFind(change, out ModelFilter? filter))
        {
            if ((change.Flags & Kevent.EV_ADD) == 0)
            {
                return Errno.ENOENT;
            }

            filter = Add(change);
        }

        filter.UserData = change.UserData;
        if ((change.FilterFlags & Kevent.NOTE_TRIGGER) != 0)
        {
            filter.IsTriggered = true;
            Activate(filter);
            ModelCalls.Signal(_userEdges);
        }

        return 0;
    }

    private int ApplyDescriptor(in Kevent change)
    {
        bool isRead = change.Filter == Kevent.EVFILT_READ;
        int epoll = isRead ? _readEdges : _writeEdges;
        int descriptor = (int)change.Identifier;
        bool isKnown = TryFind(change, out ModelFilter? filter);
        if ((change.Flags & Kevent.EV_DELETE) != 0)
        {
            if (!isKnown)
            {
                return ModelCalls.IsOpen(descriptor) ? Errno.ENOENT : Errno.EBADF;
            }

            Forget(filter!, change);
            return ModelCalls.Control(epoll, ModelCalls.Delete, descriptor, 0, 0);
        }

        if (!isKnown && (change.Flags & Kevent.EV_ADD) == 0)
        {
            return Errno.ENOENT;
        }

        // Both tell, as an edge, what is ready now: what the kernel's kqueue finds out by running the filter.
        uint interest = (isRead ? ModelCalls.Readable | ModelCalls.PeerClosed : ModelCalls.Writable) | ModelCalls.EdgeTriggered;
        ulong key = isKnown ? filter!.Key : _lastKey + 1;
        int errno = ModelCalls.Control(epoll, isKnown ? ModelCalls.Modify : ModelCalls.Add, descriptor, interest, key);
        if (isKnown && errno == Errno.ENOENT)
        {
            // It was closed, which removes its filters, kqueue(2), and its number is another file's: the first to notice.
            Forget(filter!, change);
            filter = null;
            errno = ModelCalls.Control(epoll, ModelCalls.Add, descriptor, interest, _lastKey + 1);
        }

        if (errno != 0)
        {
            return errno;
        }

        filter ??= Add(change);
        filter.UserData = change.UserData;
        return 0;
    }

    private bool TryFind(in Kevent change, [NotNullWhen(true)] out ModelFilter? filter) =>
        _filters.TryGetValue((change.Identifier, change.Filter), out filter);

    private void Forget(ModelFilter filter, in Kevent change)
    {
        _filters.Remove((change.Identifier, change.Filter));
        _byKey.Remove(filter.Key);
        filter.IsDeleted = true;
    }

    private ModelFilter Add(in Kevent change)
    {
        ModelFilter filter = new(++_lastKey, change);
        _filters.Add((change.Identifier, change.Filter), filter);
        _byKey.Add(filter.Key, filter);
        return filter;
    }

    private void Activate(ModelFilter filter)
    {
        if (!filter.IsActive)
        {
            filter.IsActive = true;
            _active.Enqueue(filter);
        }
    }

    private void CollectEdges(int epoll)
    {
        int count;
        do
        {
            if (ModelCalls.Wait(epoll, _edges, 0, out count) != 0)
            {
                return;
            }

            foreach (ulong key in _edges.AsSpan(0, count))
            {
                if (_byKey.TryGetValue(key, out ModelFilter? filter))
                {
                    Activate(filter);
                }
            }
        }
        while (count == _edges.Length);
    }

    // Oldest first. A level goes to the tail, and is told at the next wait if it still holds.
    private int Tell(Kevent[] events)
    {
        int told = 0;
        for (int left = _active.Count; left > 0 && told < events.Length; left--)
        {
            ModelFilter filter = _active.Dequeue();
            filter.IsActive = false;
            if (!filter.IsDeleted && filter.TryTell(out events[told]))
            {
                told++;
                if (!filter.IsEdge)
                {
                    Activate(filter);
                }
            }
        }

        return told;
    }
}
