using System.Runtime.Versioning;
using KestrelEpollTransport.Native;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace KestrelEpollTransport.Polling;

/// <summary>The <see cref="Poller"/> of Linux: epoll(7), with an eventfd(2) to interrupt a wait.</summary>
[SupportedOSPlatform("linux")]
internal sealed unsafe class EpollPoller : Poller
{
    private const int MaxBatch = 256;

    private readonly epoll_event[] _batch = GC.AllocateUninitializedArray<epoll_event>(MaxBatch, pinned: true);
    private readonly int _epoll;
    private readonly int _wake;

    // Late callers: a connection that closes, or posts, after the loops have ended. The numbers may be another
    // file's by then.
    private DescriptorGuard _guard;

    public EpollPoller()
    {
        _epoll = epoll_create1(EPOLL_CLOEXEC);
        if (_epoll < 0)
        {
            throw Errno.ToException(errno);
        }

        _wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (_wake < 0)
        {
            int error = errno;
            SystemCalls.Close(_epoll);
            throw Errno.ToException(error);
        }

        // Edge-triggered and never read: every write is a new edge, so waking costs the waiter no system call.
        // The counter can't overflow in practice: at a million wakes a second in half a million years.
        IoResult registered = Control(EPOLL_CTL_ADD, _wake, EPOLLIN | EPOLLET, Token.Wake);
        if (registered.IsError)
        {
            SystemCalls.Close(_wake);
            SystemCalls.Close(_epoll);
            throw Errno.ToException(registered.Errno);
        }
    }

    public override bool SharesListeners => true;

    public override IoResult Register(int descriptor, Interest interest, Token token) =>
        Control(EPOLL_CTL_ADD, descriptor, EdgeEvents(interest), token);

    public override IoResult Modify(int descriptor, Interest interest, Token token) =>
        Control(EPOLL_CTL_MOD, descriptor, EdgeEvents(interest), token);

    // EPOLLEXCLUSIVE: one connection need not wake every loop, epoll_ctl(2). It can't be changed by
    // EPOLL_CTL_MOD, so a listener is disarmed and armed by deregistering and registering.
    public override IoResult RegisterShared(int descriptor, Token token) =>
        Control(EPOLL_CTL_ADD, descriptor, EPOLLIN | EPOLLEXCLUSIVE, token);

    public override IoResult Deregister(int descriptor) => Control(EPOLL_CTL_DEL, descriptor, 0, default);

    public override int Wait(Span<PollEvent> events, int timeoutMs)
    {
        int count;
        fixed (epoll_event* batch = _batch)
        {
            count = epoll_wait(_epoll, batch, Math.Min(events.Length, MaxBatch), timeoutMs);
        }

        if (count < 0)
        {
            // EINTR: the caller computes its time-out anew and waits again. Nothing else can fail here but a
            // broken invariant of ours (EBADF, EINVAL, EFAULT).
            int error = errno;
            return error == Errno.EINTR ? 0 : throw Errno.ToException(error);
        }

        for (int i = 0; i < count; i++)
        {
            ref readonly epoll_event source = ref _batch[i];
            events[i] = new PollEvent(new Token(source.data.u64), ToReadiness(source.events));
        }

        return count;
    }

    public override void Wake()
    {
        if (_guard.TryEnter())
        {
            ulong one = 1;
            _ = write(_wake, &one, sizeof(ulong));
            Leave();
        }
    }

    public override void Dispose()
    {
        if (_guard.Close())
        {
            CloseDescriptors();
        }
    }

    // Urgent data is asked for because it splits the stream: a short read proves nothing after it.
    private static int EdgeEvents(Interest interest) =>
        EPOLLET | EPOLLRDHUP | EPOLLPRI
        | ((interest & Interest.Read) != 0 ? EPOLLIN : 0)
        | ((interest & Interest.Write) != 0 ? EPOLLOUT : 0);

    private static Readiness ToReadiness(int events)
    {
        Readiness readiness = Readiness.None;
        readiness |= (events & EPOLLIN) != 0 ? Readiness.Readable : 0;
        readiness |= (events & EPOLLOUT) != 0 ? Readiness.Writable : 0;
        readiness |= (events & EPOLLRDHUP) != 0 ? Readiness.PeerClosed : 0;
        readiness |= (events & EPOLLHUP) != 0 ? Readiness.HangUp : 0;
        readiness |= (events & EPOLLERR) != 0 ? Readiness.Error : 0;
        readiness |= (events & EPOLLPRI) != 0 ? Readiness.Priority : 0;
        return readiness;
    }

    private IoResult Control(int operation, int descriptor, int events, Token token)
    {
        if (!_guard.TryEnter())
        {
            return IoResult.Failure(Errno.EBADF);
        }

        epoll_event request = default;
        request.events = events;
        request.data.u64 = token.Value;
        IoResult result = epoll_ctl(_epoll, operation, descriptor, &request) == 0 ? IoResult.Success(0) : IoResult.Failure(errno);
        Leave();
        return result;
    }

    private void Leave()
    {
        if (_guard.Leave())
        {
            CloseDescriptors();
        }
    }

    private void CloseDescriptors()
    {
        SystemCalls.Close(_wake);
        SystemCalls.Close(_epoll);
    }
}
