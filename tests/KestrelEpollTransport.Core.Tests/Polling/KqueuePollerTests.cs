using System.Net.Sockets;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Bsd;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Polling;

/// <summary>What the kqueue poller asks of a kernel, and how it reads what one may answer: with a kernel that says what a test wants.</summary>
public sealed class KqueuePollerTests : IDisposable
{
    private static readonly Token s_token = new(3, 7);
    private static readonly Token s_other = new(4, 7);

    private readonly ScriptedKqueue _kernel = new();
    private readonly KqueuePoller _poller;
    private readonly PollEvent[] _events = new PollEvent[8];

    public KqueuePollerTests()
    {
        _poller = new KqueuePoller(_kernel);
        _kernel.Changes.Clear();
        _kernel.RoomForAnswers.Clear();
    }

    public void Dispose() => _poller.Dispose();

    [Fact]
    public void Construction_RegistersTheUsersEventWithClear()
    {
        ScriptedKqueue kernel = new();
        using KqueuePoller poller = new(kernel);

        Kevent change = Assert.Single(kernel.Changes);
        Assert.Equal(kernel.Numbers.UserFilter, change.Filter);
        Assert.Equal(Kevent.EV_ADD | Kevent.EV_CLEAR, change.Flags & ~Kevent.EV_RECEIPT);
    }

    [Fact]
    public void Register_OfBothDirections_IsOneCallWithAReceiptForEach()
    {
        Assert.False(_poller.Register(5, Interest.Read | Interest.Write, s_token).IsError);

        Assert.Equal([Kevent.EVFILT_READ, Kevent.EVFILT_WRITE], _kernel.Changes.Select(change => change.Filter));
        Assert.All(_kernel.Changes, change =>
        {
            Assert.Equal(5ul, change.Identifier);
            Assert.Equal(s_token.Value, change.UserData);
            Assert.Equal(Kevent.EV_ADD | Kevent.EV_CLEAR | Kevent.EV_RECEIPT, change.Flags);
        });
        Assert.Equal([2], _kernel.RoomForAnswers);
    }

    [Fact]
    public void RegisterShared_IsALevel()
    {
        Assert.False(_poller.RegisterShared(5, s_token).IsError);

        Assert.Equal(Kevent.EV_ADD | Kevent.EV_RECEIPT, Assert.Single(_kernel.Changes).Flags);
    }

    [Fact]
    public void Register_WhoseSecondFilterIsRefused_FailsAndLeavesNone()
    {
        _kernel.Answer = change => change.Filter == Kevent.EVFILT_WRITE && (change.Flags & Kevent.EV_ADD) != 0 ? Errno.ENOMEM : 0;

        Assert.Equal(Errno.ENOMEM, _poller.Register(5, Interest.Read | Interest.Write, s_token).Errno);

        Assert.Equal(
            [(Kevent.EVFILT_READ, Kevent.EV_DELETE), (Kevent.EVFILT_WRITE, Kevent.EV_DELETE)],
            _kernel.Changes[2..].Select(change => (change.Filter, change.Flags & Kevent.EV_DELETE)));
    }

    [Fact]
    public void Deregister_WithoutAFilterForWriting_IsNoError_AndWithoutOneForReadingIs()
    {
        _kernel.Answer = change => change.Filter == Kevent.EVFILT_WRITE ? Errno.ENOENT : 0;
        Assert.False(_poller.Deregister(5).IsError);

        _kernel.Answer = _ => Errno.ENOENT;
        Assert.Equal(Errno.ENOENT, _poller.Deregister(5).Errno);
    }

    [Fact]
    public void Change_ThatASignalInterrupted_WasMade()
    {
        _kernel.Fail = Errno.EINTR;

        Assert.False(_poller.Register(5, Interest.Read, s_token).IsError);
        Assert.Single(_kernel.Changes);
    }

    [Fact]
    public void Wait_ThatASignalInterrupted_ReturnsNothing()
    {
        _kernel.Fail = Errno.EINTR;

        Assert.Equal(0, _poller.Wait(_events, -1));
    }

    [Fact]
    public void Wait_ThatFailsOtherwise_Throws()
    {
        _kernel.Fail = Errno.EBADF;

        Assert.Throws<SocketException>(() => _poller.Wait(_events, -1));
    }

    [Theory]
    [InlineData(Kevent.EVFILT_READ, 0, 0, Readiness.Readable)]
    [InlineData(Kevent.EVFILT_READ, Kevent.EV_EOF, 0, Readiness.Readable | Readiness.PeerClosed)]
    [InlineData(Kevent.EVFILT_READ, Kevent.EV_EOF, 54, Readiness.Readable | Readiness.PeerClosed | Readiness.HangUp | Readiness.Error)]
    [InlineData(Kevent.EVFILT_WRITE, 0, 0, Readiness.Writable)]
    [InlineData(Kevent.EVFILT_WRITE, Kevent.EV_EOF, 0, Readiness.Writable)]
    [InlineData(Kevent.EVFILT_WRITE, Kevent.EV_EOF, 54, Readiness.Writable | Readiness.HangUp | Readiness.Error)]
    internal void Event_OfEachKind_IsToldAsReadiness(short filter, int flags, uint error, Readiness expected)
    {
        _kernel.Events = [Event(filter, flags, error)];

        Assert.Equal(1, _poller.Wait(_events, 0));

        // Urgent data is told with each readability: kqueue can't see it.
        bool isRead = filter == Kevent.EVFILT_READ;
        Assert.Equal(new PollEvent(s_token, expected | (isRead ? Readiness.Priority : 0)), _events[0]);
    }

    [Fact]
    public void Events_OfOneDescriptorThatFollowEachOther_AreToldAsOne()
    {
        _kernel.Events =
        [
            Event(Kevent.EVFILT_READ, 0, 0), Event(Kevent.EVFILT_WRITE, 0, 0),
            Event(Kevent.EVFILT_WRITE, 0, 0) with { UserData = s_other.Value },
        ];

        Assert.Equal(2, _poller.Wait(_events, 0));

        Assert.Equal(new PollEvent(s_token, Readiness.Readable | Readiness.Priority | Readiness.Writable), _events[0]);
        Assert.Equal(new PollEvent(s_other, Readiness.Writable), _events[1]);
    }

    [Fact]
    public void Ends_OfBothDirectionsTogether_AreAHangUp_AndOfTwoDescriptorsAreNot()
    {
        Kevent received = Event(Kevent.EVFILT_READ, Kevent.EV_EOF, 0);
        Kevent sent = Event(Kevent.EVFILT_WRITE, Kevent.EV_EOF, 0);

        _kernel.Events = [sent, received];
        Assert.Equal(1, _poller.Wait(_events, 0));
        Assert.Equal(Readiness.HangUp | Readiness.PeerClosed, _events[0].Readiness & (Readiness.HangUp | Readiness.PeerClosed | Readiness.Error));

        _kernel.Events = [sent, received with { UserData = s_other.Value }];
        Assert.Equal(2, _poller.Wait(_events, 0));
        Assert.All(_events[..2], one => Assert.Equal(Readiness.None, one.Readiness & Readiness.HangUp));
    }

    private static Kevent Event(short filter, int flags, uint error) =>
        new() { Identifier = 5, Filter = filter, Flags = (ushort)flags, FilterFlags = error, UserData = s_token.Value };

    /// <summary>Answers as told, and records what it was asked.</summary>
    private sealed unsafe class ScriptedKqueue() : KqueueCalls(KqueueNumbers.FreeBsd)
    {
        public List<Kevent> Changes { get; } = [];

        public List<int> RoomForAnswers { get; } = [];

        public Kevent[] Events { get; set; } = [];

        /// <summary>The error of every call; 0 for none.</summary>
        public int Fail { get; set; }

        /// <summary>The error of one change.</summary>
        public Func<Kevent, int> Answer { get; set; } = _ => 0;

        public override IoResult Create() => IoResult.Success(99);

        public override IoResult Change(int queue, byte* changes, int changeCount, byte* events, int eventCount, Timespec* timeout)
        {
            for (int i = 0; i < changeCount; i++)
            {
                Kevent change = *(Kevent*)(changes + (i * Numbers.EventSize));
                Changes.Add(change);
                *(Kevent*)(events + (i * Numbers.EventSize)) = change with { Flags = Kevent.EV_ERROR, Data = Answer(change) };
            }

            if (changeCount > 0)
            {
                RoomForAnswers.Add(eventCount);
            }

            for (int i = 0; i < Events.Length && changeCount == 0; i++)
            {
                *(Kevent*)(events + (i * Numbers.EventSize)) = Events[i];
            }

            return Fail != 0 ? IoResult.Failure(Fail) : IoResult.Success(changeCount > 0 ? changeCount : Events.Length);
        }

        public override void Close(int queue)
        {
        }
    }
}
