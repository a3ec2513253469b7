using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Bsd;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Polling;

/// <summary>The model of kqueue against sentences of the manual, kqueue(2): what is tested over it stands on these.</summary>
public sealed unsafe class KqueueModelTests : IDisposable
{
    private static readonly int s_size = KqueueNumbers.FreeBsd.EventSize;

    private readonly KqueueModel _model = new(KqueueNumbers.FreeBsd);
    private readonly int _queue;
    private readonly Socket _peer = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Socket _socket;

    public KqueueModelTests()
    {
        _queue = (int)_model.Create().Value;
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        _peer.NoDelay = true;
        _peer.Connect(listener.LocalEndPoint!);
        _socket = listener.Accept();
    }

    public void Dispose()
    {
        _peer.Dispose();
        _socket.Dispose();
        _model.Close(_queue);
    }

    [Fact]
    public void Clear_OfAUsersEvent_IsWhatEndsItsTelling()
    {
        short user = KqueueNumbers.FreeBsd.UserFilter;
        Assert.Equal(0, Apply(new Kevent { Identifier = 1, Filter = user, Flags = Kevent.EV_ADD | Kevent.EV_CLEAR }));
        Assert.Equal(0, Apply(new Kevent { Identifier = 2, Filter = user, Flags = Kevent.EV_ADD }));
        Assert.Empty(Fetch());

        Assert.Equal(0, Apply(new Kevent { Identifier = 1, Filter = user, FilterFlags = Kevent.NOTE_TRIGGER }));
        Assert.Equal(0, Apply(new Kevent { Identifier = 2, Filter = user, FilterFlags = Kevent.NOTE_TRIGGER }));

        Assert.Equal([1ul, 2ul], Fetch().Select(one => one.Identifier).Order());
        Assert.Equal([2ul], Fetch().Select(one => one.Identifier));
        Assert.Equal([2ul], Fetch().Select(one => one.Identifier));
    }

    [Fact]
    public void Receipts_WithoutRoom_EndTheListOfChanges()
    {
        // FreeBSD: the first answer that finds no room ends the call, and the second filter is not there.
        byte* changes = stackalloc byte[2 * s_size];
        Put(changes, 0, Change(Kevent.EVFILT_READ, Kevent.EV_ADD | Kevent.EV_RECEIPT));
        Put(changes, 1, Change(Kevent.EVFILT_WRITE, Kevent.EV_ADD | Kevent.EV_RECEIPT));

        Assert.Equal(0, _model.Change(_queue, changes, 2, null, 0, null).Errno);

        Assert.Equal(0, Apply(Change(Kevent.EVFILT_READ, Kevent.EV_DELETE)));
        Assert.Equal(Errno.ENOENT, Apply(Change(Kevent.EVFILT_WRITE, Kevent.EV_DELETE)));
    }

    [Fact]
    public void Receipts_WithRoom_AnswerEachChangeAndFetchNothing()
    {
        byte* list = stackalloc byte[2 * s_size];
        Put(list, 0, Change(Kevent.EVFILT_WRITE, Kevent.EV_ADD | Kevent.EV_RECEIPT));
        Put(list, 1, Change(Kevent.EVFILT_READ, Kevent.EV_DELETE | Kevent.EV_RECEIPT));

        Assert.Equal(2, _model.Change(_queue, list, 2, list, 2, null).Value);

        Kevent first = *(Kevent*)list;
        Kevent second = *(Kevent*)(list + s_size);
        Assert.Equal((Kevent.EV_ERROR, 0L), (first.Flags, first.Data));
        Assert.Equal((Kevent.EV_ERROR, (long)Errno.ENOENT), (second.Flags, second.Data));
        Assert.Equal(Kevent.EVFILT_WRITE, Assert.Single(Fetch()).Filter);
    }

    [Fact]
    public void End_OfThePeer_IsToldWithTheBytesBeforeIt()
    {
        Assert.Equal(0, Apply(Change(Kevent.EVFILT_READ, Kevent.EV_ADD | Kevent.EV_CLEAR)));
        _peer.Send([1, 2, 3]);
        _peer.Shutdown(SocketShutdown.Send);

        Kevent told = default;
        while ((told.Flags & Kevent.EV_EOF) == 0)
        {
            told = Assert.Single(Fetch(TimeSpan.FromSeconds(20)));
        }

        Assert.Equal((3L, 0u), (told.Data, told.FilterFlags));
    }

    [Fact]
    public void Event_WhoseReasonIsGoneWhenFetched_IsNotTold()
    {
        Assert.Equal(0, Apply(Change(Kevent.EVFILT_READ, Kevent.EV_ADD | Kevent.EV_CLEAR)));
        _peer.Send([1]);
        Assert.Equal(1, _socket.Receive(new byte[8]));

        Assert.Empty(Fetch());
    }

    [Fact]
    public void Add_OfWhatIsThere_TakesTheNewUserDataAndLooksAnew()
    {
        Assert.Equal(0, Apply(Change(Kevent.EVFILT_WRITE, Kevent.EV_ADD | Kevent.EV_CLEAR) with { UserData = 1 }));
        Assert.Equal(1ul, Assert.Single(Fetch()).UserData);
        Assert.Empty(Fetch());

        Assert.Equal(0, Apply(Change(Kevent.EVFILT_WRITE, Kevent.EV_ADD | Kevent.EV_CLEAR) with { UserData = 2 }));

        Assert.Equal(2ul, Assert.Single(Fetch()).UserData);
    }

    [Fact]
    public void Flags_ThatAreNotModelled_AreRefused() =>
        Assert.Throws<NotSupportedException>(() => Apply(Change(Kevent.EVFILT_READ, Kevent.EV_ADD | 0x80)));

    [Fact]
    public void Probe_WhereTheStructureIsAnother_FindsOut()
    {
        Assert.True(KqueuePoller.Probe(new KqueueModel(KqueueNumbers.Darwin)));
        Assert.True(KqueuePoller.Probe(new KqueueModel(KqueueNumbers.FreeBsd)));
        Assert.False(KqueuePoller.Probe(new WrongSize(new KqueueModel(KqueueNumbers.FreeBsd))));
    }

    private static void Put(byte* list, int index, Kevent source) => *(Kevent*)(list + (index * s_size)) = source;

    private Kevent Change(short filter, int flags) => new() { Identifier = (ulong)_socket.Handle, Filter = filter, Flags = (ushort)flags };

    private int Apply(Kevent change)
    {
        byte* changes = stackalloc byte[s_size];
        Put(changes, 0, change);
        return _model.Change(_queue, changes, 1, null, 0, null).Errno;
    }

    private Kevent[] Fetch(TimeSpan limit = default)
    {
        byte* events = stackalloc byte[8 * s_size];
        Timespec timeout = Timespec.FromMilliseconds((int)limit.TotalMilliseconds);
        IoResult fetched = _model.Change(_queue, null, 0, events, 8, &timeout);
        Assert.False(fetched.IsError);
        Kevent[] told = new Kevent[fetched.Value];
        for (int i = 0; i < told.Length; i++)
        {
            told[i] = *(Kevent*)(events + (i * s_size));
        }

        return told;
    }

    /// <summary>A kernel whose structure is longer than the poller's.</summary>
    private sealed unsafe class WrongSize(KqueueModel inner) : KqueueCalls(KqueueNumbers.Darwin with { UserFilter = inner.Numbers.UserFilter })
    {
        public override IoResult Create() => inner.Create();

        public override IoResult Change(int queue, byte* changes, int changeCount, byte* events, int eventCount, Timespec* timeout)
        {
            // Room for what such a kernel would write, and read, beyond the poller's lists.
            byte* ownChanges = stackalloc byte[1024];
            byte* ownEvents = stackalloc byte[300 * KqueueNumbers.MaxEventSize];
            new Span<byte>(changes, changeCount * Numbers.EventSize).CopyTo(new Span<byte>(ownChanges, 1024));
            IoResult result = IoResult.Failure(Errno.EINVAL);
            try
            {
                result = inner.Change(queue, ownChanges, changeCount, ownEvents, eventCount, timeout);
            }
            catch (NotSupportedException)
            {
                // The model refuses flags and filters that were never meant; a kernel says EINVAL.
            }

            new Span<byte>(ownEvents, eventCount * Numbers.EventSize).CopyTo(new Span<byte>(events, eventCount * Numbers.EventSize));
            return result;
        }

        public override void Close(int queue) => inner.Close(queue);
    }
}
