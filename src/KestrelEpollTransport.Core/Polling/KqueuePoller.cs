using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Bsd;
using KestrelEpollTransport.Native.Posix;

namespace KestrelEpollTransport.Polling;

/// <summary>The <see cref="Poller"/> of macOS and FreeBSD: kqueue(2), with an EVFILT_USER event to interrupt a wait.</summary>
/// <remarks>
/// <para><b>Two filters.</b> A descriptor has one for each direction, which are told apart: EVFILT_READ is always there,
/// because with EV_EOF it tells of the peer's end, EVFILT_WRITE when it was asked for. Two events of one descriptor that
/// follow each other in a batch are told as one.</para>
/// <para><b>Changes</b> are made at once, both filters of a descriptor in one call, and not kept for the next wait: whoever
/// registers needs the answer; a wait that runs on another thread must see it; and a change that lies in a list while its
/// descriptor is closed meets the next file of that number. There is nothing to win: a connection is registered once.</para>
/// <para><b>Receipts.</b> Each change is answered by itself (EV_RECEIPT), with room for all answers: FreeBSD ends the list
/// at the first receipt that finds no room, kqueue(2), and so would add the first filter only (dotnet/runtime#26633).</para>
/// <para><b>Urgent data.</b> FreeBSD has no filter for it, and it splits the stream all the same. So each readability is told
/// with <see cref="Readiness.Priority"/>, and a connection receives until nothing is left, one call more than with epoll.</para>
/// </remarks>
internal sealed unsafe class KqueuePoller : Poller
{
    private const int MaxBatch = 256;

    // Which directions of a descriptor have ended, in the events of one batch.
    private const int ReceivingEnded = 1;
    private const int SendingEnded = 2;

    private readonly KqueueCalls _calls;
    private readonly int _eventSize;
    private readonly short _userFilter;
    private readonly int _queue;

    // The waiting thread only.
    private readonly byte[] _batch;

    // Late callers, as in EpollPoller.
    private DescriptorGuard _guard;

    public KqueuePoller(KqueueCalls calls)
    {
        _calls = calls;
        _eventSize = calls.Numbers.EventSize;
        _userFilter = calls.Numbers.UserFilter;
        _batch = GC.AllocateArray<byte>(MaxBatch * _eventSize, pinned: true);
        IoResult created = calls.Create();
        if (created.IsError)
        {
            throw Errno.ToException(created.Errno);
        }

        _queue = (int)created.Value;
        byte* changes = stackalloc byte[KqueueNumbers.MaxEventSize];
        // EV_CLEAR: without it the event would be told at every wait from the first wake on, kqueue(2).
        Put(changes, 0, 0, _userFilter, Kevent.EV_ADD | Kevent.EV_CLEAR, Token.Wake);
        IoResult registered = Submit(changes, 1);
        if (registered.IsError)
        {
            calls.Close(_queue);
            throw Errno.ToException(registered.Errno);
        }
    }

    /// <summary>
    /// One accepting loop distributes: kqueue has nothing like EPOLLEXCLUSIVE, and a connection would wake every queue that
    /// has the listener.
    /// </summary>
    public override bool SharesListeners => false;

    /// <summary>
    /// Whether two events come back whole from the kernel, as they would not if its structure were another: this code was
    /// written from headers.
    /// </summary>
    public static bool Probe(KqueueCalls calls)
    {
        using KqueuePoller poller = new(calls);
        byte* changes = stackalloc byte[2 * KqueueNumbers.MaxEventSize];
        Token other = new(1, 2);
        poller.Put(changes, 0, 1, poller._userFilter, Kevent.EV_ADD | Kevent.EV_CLEAR, other);
        poller.Put(changes, 1, 1, poller._userFilter, 0, other, Kevent.NOTE_TRIGGER);
        PollEvent[] events = new PollEvent[4];
        if (poller.Submit(changes, 2).IsError)
        {
            return false;
        }

        poller.Wake();
        int count = poller.Wait(events, timeoutMs: 0);
        return count == 2 && events[0].Token != events[1].Token
            && events.AsSpan(0, count).Contains(new PollEvent(Token.Wake, Readiness.None))
            && events.AsSpan(0, count).Contains(new PollEvent(other, Readiness.None));
    }

    public override IoResult Register(int descriptor, Interest interest, Token token)
    {
        byte* changes = stackalloc byte[2 * KqueueNumbers.MaxEventSize];
        int count = 0;
        Put(changes, count++, descriptor, Kevent.EVFILT_READ, Kevent.EV_ADD | Kevent.EV_CLEAR, token);
        if ((interest & Interest.Write) != 0)
        {
            Put(changes, count++, descriptor, Kevent.EVFILT_WRITE, Kevent.EV_ADD | Kevent.EV_CLEAR, token);
        }

        IoResult result = Submit(changes, count);
        if (result.IsError && count > 1)
        {
            // One filter of two may be there now, and would tell of a descriptor that nobody thinks registered.
            _ = Deregister(descriptor);
        }

        return result;
    }

    public override IoResult RegisterShared(int descriptor, Token token)
    {
        byte* changes = stackalloc byte[KqueueNumbers.MaxEventSize];
        Put(changes, 0, descriptor, Kevent.EVFILT_READ, Kevent.EV_ADD, token);
        return Submit(changes, 1);
    }

    // EV_ADD of a filter that is there gives it the new token and looks at the descriptor anew, kqueue(2).
    public override IoResult Modify(int descriptor, Interest interest, Token token)
    {
        byte* changes = stackalloc byte[2 * KqueueNumbers.MaxEventSize];
        ushort write = (interest & Interest.Write) != 0 ? (ushort)(Kevent.EV_ADD | Kevent.EV_CLEAR) : Kevent.EV_DELETE;
        Put(changes, 0, descriptor, Kevent.EVFILT_READ, Kevent.EV_ADD | Kevent.EV_CLEAR, token);
        Put(changes, 1, descriptor, Kevent.EVFILT_WRITE, write, token);
        return Submit(changes, 2);
    }

    public override IoResult Deregister(int descriptor)
    {
        byte* changes = stackalloc byte[2 * KqueueNumbers.MaxEventSize];
        Put(changes, 0, descriptor, Kevent.EVFILT_READ, Kevent.EV_DELETE, default);
        Put(changes, 1, descriptor, Kevent.EVFILT_WRITE, Kevent.EV_DELETE, default);
        return Submit(changes, 2);
    }

    public override int Wait(Span<PollEvent> events, int timeoutMs)
    {
        Timespec timeout = Timespec.FromMilliseconds(Math.Max(0, timeoutMs));
        fixed (byte* batch = _batch)
        {
            IoResult waited = _calls.Change(
                _queue, null, 0, batch, Math.Min(events.Length, MaxBatch), timeoutMs < 0 ? null : &timeout);
            if (waited.IsError)
            {
                // As in EpollPoller: anything but EINTR is a broken invariant of ours.
                return waited.Errno == Errno.EINTR ? 0 : throw Errno.ToException(waited.Errno);
            }

            return Tell(batch, (int)waited.Value, events);
        }
    }

    public override void Wake()
    {
        if (_guard.TryEnter())
        {
            byte* changes = stackalloc byte[KqueueNumbers.MaxEventSize];
            Put(changes, 0, 0, _userFilter, 0, Token.Wake, Kevent.NOTE_TRIGGER);
            _ = Apply(changes, 1);
            Leave();
        }
    }

    public override void Dispose()
    {
        if (_guard.Close())
        {
            _calls.Close(_queue);
        }
    }

    private static Readiness ToReadiness(in Kevent told, out int ended)
    {
        bool isRead = told.Filter == Kevent.EVFILT_READ;
        Readiness readiness = isRead ? Readiness.Readable | Readiness.Priority : Readiness.Writable;
        ended = 0;
        if ((told.Flags & Kevent.EV_EOF) != 0)
        {
            // What arrived before is still there to be read. The end of the sending side alone may be our own doing.
            ended = isRead ? ReceivingEnded : SendingEnded;
            readiness |= isRead ? Readiness.PeerClosed : 0;
            // The error stays with the socket: telling does not take it.
            readiness |= told.FilterFlags != 0 ? Readiness.Error | Readiness.HangUp : 0;
        }

        return readiness;
    }

    private int Tell(byte* batch, int count, Span<PollEvent> events)
    {
        int told = 0;
        int endedBefore = 0;
        for (int i = 0; i < count; i++)
        {
            ref readonly Kevent source = ref *(Kevent*)(batch + (i * _eventSize));
            Token token = new(source.UserData);
            if (source.Filter == _userFilter)
            {
                events[told++] = new PollEvent(token, Readiness.None);
                continue;
            }

            Readiness readiness = ToReadiness(source, out int ended);
            if (told > 0 && events[told - 1].Token == token)
            {
                endedBefore |= ended;
                readiness |= events[told - 1].Readiness;
                readiness |= endedBefore == (ReceivingEnded | SendingEnded) ? Readiness.HangUp : 0;
                events[told - 1] = new PollEvent(token, readiness);
            }
            else
            {
                endedBefore = ended;
                events[told++] = new PollEvent(token, readiness);
            }
        }

        return told;
    }

    private void Put(byte* list, int index, int identifier, short filter, ushort flags, Token token, uint filterFlags = 0)
    {
        byte* place = list + (index * _eventSize);
        new Span<byte>(place, _eventSize).Clear();
        *(Kevent*)place = new Kevent
        {
            // A negative descriptor stays one: no file has it, and the answer is EBADF.
            Identifier = (ulong)identifier,
            Filter = filter,
            Flags = flags,
            FilterFlags = filterFlags,
            UserData = token.Value,
        };
    }

    private IoResult Submit(byte* changes, int count)
    {
        if (!_guard.TryEnter())
        {
            return IoResult.Failure(Errno.EBADF);
        }

        IoResult result = Apply(changes, count);
        Leave();
        return result;
    }

    // The answers take the place of the changes, which kevent(2) allows.
    private IoResult Apply(byte* changes, int count)
    {
        for (int i = 0; i < count; i++)
        {
            ((Kevent*)(changes + (i * _eventSize)))->Flags |= Kevent.EV_RECEIPT;
        }

        Timespec now = default;
        IoResult applied = _calls.Change(_queue, changes, count, changes, count, &now);
        if (applied.IsError)
        {
            return applied.Errno == Errno.EINTR ? IoResult.Success(0) : applied;
        }

        for (int i = 0; i < applied.Value; i++)
        {
            ref readonly Kevent receipt = ref *(Kevent*)(changes + (i * _eventSize));
            int errno = (receipt.Flags & Kevent.EV_ERROR) != 0 ? SystemNumbers.Current.ToErrno((int)receipt.Data) : 0;

            // ENOENT: there was no filter for writing to take away.
            bool wasNotThere = errno == Errno.ENOENT && receipt.Filter == Kevent.EVFILT_WRITE;
            if (errno != 0 && !wasNotThere)
            {
                return IoResult.Failure(errno);
            }
        }

        return IoResult.Success(0);
    }

    private void Leave()
    {
        if (_guard.Leave())
        {
            _calls.Close(_queue);
        }
    }
}
