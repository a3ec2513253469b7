using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using Tmds.Linux;

namespace KestrelEpollTransport.Tests.Polling;

/// <summary>What the rest of the transport relies on, of any <see cref="Poller"/>.</summary>
public sealed class PollerContractTests : IDisposable
{
    private static readonly Token s_token = new(3, 7);

    private readonly Poller _poller = Poller.Create();
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Socket _peer;
    private readonly Socket _socket;
    private readonly PollEvent[] _events = new PollEvent[16];

    public PollerContractTests()
    {
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        (_peer, _socket) = Connect();
    }

    private int Descriptor => (int)_socket.Handle;

    public void Dispose()
    {
        _peer.Dispose();
        _socket.Dispose();
        _listener.Dispose();
        _poller.Dispose();
    }

    [Fact]
    public void Register_OfWhatIsReady_IsTold()
    {
        Send(_peer, _socket);

        Assert.False(_poller.Register(Descriptor, Interest.Read | Interest.Write, s_token).IsError);

        Assert.Equal(Readiness.Readable | Readiness.Writable, Look());
    }

    [Fact]
    public void Register_ForReading_IsNotToldRoom()
    {
        _poller.Register(Descriptor, Interest.Read, s_token);

        Assert.Equal(Readiness.None, Look());
    }

    [Fact]
    public void Edge_NotTakenUp_IsToldOnceUntilMoreArrives()
    {
        _poller.Register(Descriptor, Interest.Read, s_token);
        Assert.Equal(Readiness.None, Look());
        Send(_peer, _socket);
        Assert.Equal(Readiness.Readable, WaitFor(Readiness.Readable));

        Assert.Equal(Readiness.None, Look());

        _peer.Send([2]);
        Assert.Equal(Readiness.Readable, WaitFor(Readiness.Readable));
    }

    [Fact]
    public void Level_OfASharedListener_IsToldUntilAccepted()
    {
        Assert.False(_poller.RegisterShared((int)_listener.Handle, s_token).IsError);
        Assert.Equal(Readiness.None, Look());
        using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.Connect(_listener.LocalEndPoint!);

        Assert.Equal(Readiness.Readable, WaitFor(Readiness.Readable));
        Assert.Equal(Readiness.Readable, Look());
        Assert.Equal(Readiness.Readable, Look());

        using Socket accepted = _listener.Accept();
        Assert.Equal(Readiness.None, Look());
    }

    [Fact]
    public void Modify_WhileReady_TellsAgain()
    {
        Send(_peer, _socket);
        _poller.Register(Descriptor, Interest.Read, s_token);
        Assert.Equal(Readiness.Readable, Look());
        Assert.Equal(Readiness.None, Look());

        Token next = new(3, 8);
        Assert.False(_poller.Modify(Descriptor, Interest.Read | Interest.Write, next).IsError);

        Assert.Equal(Readiness.None, Look(s_token, out Readiness told, next));
        Assert.Equal(Readiness.Readable | Readiness.Writable, told);
    }

    [Fact]
    public void FinOfThePeer_WhateverTheInterest_IsToldAsPeerClosed()
    {
        _poller.Register(Descriptor, Interest.Write, s_token);
        Assert.Equal(Readiness.Writable, Look());

        _peer.Shutdown(SocketShutdown.Send);

        Assert.Equal(Readiness.None, WaitFor(Readiness.PeerClosed) & (Readiness.HangUp | Readiness.Error));
    }

    [Fact]
    public void EndOfBothDirections_IsToldAsHangUp()
    {
        _poller.Register(Descriptor, Interest.Read, s_token);

        _peer.Shutdown(SocketShutdown.Send);
        _socket.Shutdown(SocketShutdown.Send);

        Assert.NotEqual(Readiness.None, WaitFor(Readiness.HangUp) & Readiness.PeerClosed);
    }

    [Fact]
    public void ResetByThePeer_IsToldAsErrorAndHangUp()
    {
        _poller.Register(Descriptor, Interest.Read, s_token);

        _peer.LingerState = new LingerOption(true, 0);
        _peer.Dispose();

        Assert.NotEqual(Readiness.None, WaitFor(Readiness.Error) & Readiness.HangUp);
        Assert.Equal(Errno.ECONNRESET, SystemCalls.TakeSocketError(Descriptor));
    }

    [Fact]
    public void UrgentData_IsToldAsPriority()
    {
        _poller.Register(Descriptor, Interest.Read, s_token);

        _peer.Send([1], SocketFlags.OutOfBand);

        WaitFor(Readiness.Priority);
    }

    [Fact]
    public void Wake_BeforeAWait_EndsIt()
    {
        _poller.Wake();

        Assert.Equal(1, _poller.Wait(_events, (int)Timeouts.Limit.TotalMilliseconds));
        Assert.Equal(Token.Wake, _events[0].Token);
        Assert.Equal(0, _poller.Wait(_events, 0));
    }

    [Fact]
    public async Task Wake_DuringAWait_EndsItEachTime()
    {
        for (int round = 0; round < 20; round++)
        {
            TaskCompletionSource<string> waits = new(TaskCreationOptions.RunContinuationsAsynchronously);
            Task<Token> waiter = OnThread(() =>
            {
                waits.SetResult(Directory.ResolveLinkTarget("/proc/thread-self", returnFinalTarget: false)!.FullName);
                int count;
                do
                {
                    count = _poller.Wait(_events, -1);
                }
                while (count == 0);

                return _events[0].Token;
            });
            string thread = await waits.Task.OrTimeout();

            // Asleep: what it does last is wait.
            await Timeouts.UntilAsync(() => File.ReadAllText(thread + "/stat").Split(") ")[^1][0] == 'S');
            _poller.Wake();

            Assert.Equal(Token.Wake, await waiter.OrTimeout());
        }
    }

    [Fact]
    public void Register_OfANumberThatWasAnothers_IsNeverToldTheOldToken()
    {
        (Socket otherPeer, Socket other) = Connect();
        using (otherPeer)
        using (other)
        {
            int number = (int)SystemCalls.Duplicate(Descriptor).Value;
            try
            {
                _poller.Register(number, Interest.Read, s_token);
                Send(_peer, _socket);

                // On its way, and then ended.
                Assert.False(_poller.Deregister(number).IsError);
                Assert.Equal(number, LibC.dup2((int)other.Handle, number));
                Token next = new(3, 8);
                Assert.False(_poller.Register(number, Interest.Read, next).IsError);
                Assert.Equal(0, _poller.Wait(_events, 0));

                // The socket that had the number has more to tell, and the one that has it now.
                _peer.Send([2]);
                Send(otherPeer, other);

                Assert.Equal(Readiness.None, Look(s_token, out Readiness told, next));
                Assert.Equal(Readiness.Readable, told);
            }
            finally
            {
                _poller.Deregister(number);
                SystemCalls.Close(number);
            }
        }
    }

    [Fact]
    public void Wait_WithNothingToTell_ReturnsAfterTheTime()
    {
        const int TimeoutMs = 40;
        TimeSpan longest = TimeSpan.Zero;

        // A signal may end a wait early, but not all of them.
        for (int i = 0; i < 10 && longest.TotalMilliseconds < TimeoutMs; i++)
        {
            long start = Stopwatch.GetTimestamp();
            Assert.Equal(0, _poller.Wait(_events, TimeoutMs));
            TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
            longest = elapsed > longest ? elapsed : longest;
        }

        Assert.InRange(longest.TotalMilliseconds, TimeoutMs, Timeouts.Limit.TotalMilliseconds);
        Assert.Equal(0, _poller.Wait(_events, 0));
    }

    [Fact]
    public void Wait_WithMoreThanFits_TellsTheRestNext()
    {
        (Socket otherPeer, Socket other) = Connect();
        using (otherPeer)
        using (other)
        {
            Token otherToken = new(4, 1);
            _poller.Register(Descriptor, Interest.Write, s_token);
            _poller.Register((int)other.Handle, Interest.Write, otherToken);
            PollEvent[] one = new PollEvent[1];

            Assert.Equal(1, _poller.Wait(one, 0));
            Token first = one[0].Token;
            Assert.Equal(1, _poller.Wait(one, 0));

            Assert.Equal([s_token, otherToken], new[] { first, one[0].Token }.OrderBy(token => token.Slot));
        }
    }

    [Fact]
    public async Task SharedListener_OfTwoPollersThatWait_WakesAtLeastOne()
    {
        using Poller second = Poller.Create();
        Poller[] pollers = [_poller, second];
        for (int round = 0; round < 20; round++)
        {
            foreach (Poller poller in pollers)
            {
                Assert.False(poller.RegisterShared((int)_listener.Handle, s_token).IsError);
            }

            Task<Token>[] waiters = [.. pollers.Select(poller => OnThread(() =>
            {
                PollEvent[] events = new PollEvent[4];
                while (poller.Wait(events, -1) == 0)
                {
                }

                return events[0].Token;
            }))];
            using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            client.Connect(_listener.LocalEndPoint!);

            Task<Token> woken = await Task.WhenAny(waiters).OrTimeout();
            Assert.Equal(s_token, await woken);

            // The other one, if it slept on.
            using Socket accepted = _listener.Accept();
            foreach (Poller poller in pollers)
            {
                poller.Wake();
            }

            await Task.WhenAll(waiters).OrTimeout();
            foreach (Poller poller in pollers)
            {
                poller.Wait(new PollEvent[4], 0);
                Assert.False(poller.Deregister((int)_listener.Handle).IsError);
            }
        }
    }

    [Fact]
    public void Errors_OfMisuse_AreValues()
    {
        Assert.True(_poller.Deregister(Descriptor).IsError);
        Assert.True(_poller.Modify(Descriptor, Interest.Read, s_token).IsError);
        Assert.Equal(Errno.EBADF, _poller.Register(-1, Interest.Read, s_token).Errno);
        Assert.False(_poller.Register(Descriptor, Interest.Read, s_token).IsError);
        Assert.True(_poller.Register(Descriptor, Interest.Read, s_token).IsError);
    }

    [Fact]
    public void Calls_AfterDispose_AreErrorsAndHarmless()
    {
        _poller.Dispose();

        Assert.Equal(Errno.EBADF, _poller.Register(Descriptor, Interest.Read, s_token).Errno);
        Assert.Equal(Errno.EBADF, _poller.RegisterShared((int)_listener.Handle, s_token).Errno);
        Assert.Equal(Errno.EBADF, _poller.Modify(Descriptor, Interest.Read, s_token).Errno);
        Assert.Equal(Errno.EBADF, _poller.Deregister(Descriptor).Errno);
        _poller.Wake();
        _poller.Dispose();
    }

    private static Task<T> OnThread<T>(Func<T> function) =>
        Task.Factory.StartNew(function, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>Sends a byte and waits until it has arrived.</summary>
    private static void Send(Socket from, Socket to)
    {
        from.Send([1]);
        Assert.True(to.Poll(Timeouts.Limit, SelectMode.SelectRead));
    }

    private (Socket Peer, Socket Socket) Connect()
    {
        Socket peer = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        peer.Connect(_listener.LocalEndPoint!);
        return (peer, _listener.Accept());
    }

    /// <summary>What is told of <see cref="s_token"/> now.</summary>
    private Readiness Look()
    {
        Readiness told = Look(s_token, out Readiness others, s_token);
        Assert.Equal(told, others);
        return told;
    }

    private Readiness Look(Token token, out Readiness toldOther, Token other)
    {
        Readiness told = Readiness.None;
        toldOther = Readiness.None;
        int count = _poller.Wait(_events, 0);
        foreach (PollEvent ready in _events.AsSpan(0, count))
        {
            told |= ready.Token == token ? ready.Readiness : 0;
            toldOther |= ready.Token == other ? ready.Readiness : 0;
            Assert.True(ready.Token == token || ready.Token == other, $"An event of {ready.Token}.");
        }

        return told;
    }

    /// <summary>Waits until <paramref name="expected"/> is told; returns everything that was.</summary>
    private Readiness WaitFor(Readiness expected)
    {
        Readiness told = Readiness.None;
        long deadlineMs = Environment.TickCount64 + (long)Timeouts.Limit.TotalMilliseconds;
        while ((told & expected) != expected)
        {
            int left = (int)(deadlineMs - Environment.TickCount64);
            Assert.True(left > 0, $"{expected} was not told, but {told}.");
            int count = _poller.Wait(_events, left);
            foreach (PollEvent ready in _events.AsSpan(0, count))
            {
                Assert.Equal(s_token, ready.Token);
                told |= ready.Readiness;
            }
        }

        return told;
    }
}
