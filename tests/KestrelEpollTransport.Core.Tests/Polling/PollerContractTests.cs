using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Polling;

/// <summary>What the rest of the transport relies on, of any <see cref="Poller"/>: run on every backend.</summary>
public abstract partial class PollerContractTests : PollerFixture
{
    private protected PollerContractTests(PollerBackend backend)
        : base(backend)
    {
    }

    [Fact]
    public void Register_OfWhatIsReady_IsTold()
    {
        Send(Peer, Socket);

        Assert.False(Poller.Register(Descriptor, Interest.Read | Interest.Write, s_token).IsError);

        Assert.Equal(Readiness.Readable | Readiness.Writable, Look());
    }

    [Fact]
    public void Register_ForReading_IsNotToldRoom()
    {
        Poller.Register(Descriptor, Interest.Read, s_token);

        Assert.Equal(Readiness.None, Look());
    }

    [Fact]
    public void Edge_NotTakenUp_IsToldOnceUntilMoreArrives()
    {
        Poller.Register(Descriptor, Interest.Read, s_token);
        Assert.Equal(Readiness.None, Look());
        Send(Peer, Socket);
        Assert.Equal(Readiness.Readable, WaitFor(Readiness.Readable));

        Assert.Equal(Readiness.None, Look());

        Peer.Send([2]);
        Assert.Equal(Readiness.Readable, WaitFor(Readiness.Readable));
    }

    [Fact]
    public void Level_OfASharedListener_IsToldUntilAccepted()
    {
        Assert.False(Poller.RegisterShared((int)Listener.Handle, s_token).IsError);
        Assert.Equal(Readiness.None, Look());
        using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.Connect(Listener.LocalEndPoint!);

        Assert.Equal(Readiness.Readable, WaitFor(Readiness.Readable));
        Assert.Equal(Readiness.Readable, Look());
        Assert.Equal(Readiness.Readable, Look());

        using Socket accepted = Listener.Accept();
        Assert.Equal(Readiness.None, Look());
    }

    [Fact]
    public void Modify_WhileReady_TellsAgain()
    {
        Send(Peer, Socket);
        Poller.Register(Descriptor, Interest.Read, s_token);
        Assert.Equal(Readiness.Readable, Look());
        Assert.Equal(Readiness.None, Look());

        Token next = new(3, 8);
        Assert.False(Poller.Modify(Descriptor, Interest.Read | Interest.Write, next).IsError);

        Assert.Equal(Readiness.None, Look(s_token, out Readiness told, next));
        Assert.Equal(Readiness.Readable | Readiness.Writable, told);
    }

    [Fact]
    public void FinOfThePeer_WhateverTheInterest_IsToldAsPeerClosed()
    {
        Poller.Register(Descriptor, Interest.Write, s_token);
        Assert.Equal(Readiness.Writable, Look());

        Peer.Shutdown(SocketShutdown.Send);

        Assert.Equal(Readiness.None, WaitFor(Readiness.PeerClosed) & (Readiness.HangUp | Readiness.Error));
    }

    [Fact]
    public void FinBehindData_IsToldWithIt_AndTheDataIsStillRead()
    {
        Poller.Register(Descriptor, Interest.Read | Interest.Write, s_token);

        Peer.Send([1, 2, 3]);
        Peer.Shutdown(SocketShutdown.Send);

        Assert.NotEqual(Readiness.None, WaitFor(Readiness.PeerClosed | Readiness.Readable));
        byte[] buffer = new byte[16];
        Assert.Equal(3, Socket.Receive(buffer));
        Assert.Equal(0, Socket.Receive(buffer));
    }

    [Fact]
    public void Deregister_OfWhatBecomesReady_EndsTheTelling()
    {
        Poller.Register(Descriptor, Interest.Read | Interest.Write, s_token);
        Assert.Equal(Readiness.Writable, Look());

        Assert.False(Poller.Deregister(Descriptor).IsError);
        Send(Peer, Socket);

        Assert.Equal(0, Poller.Wait(Events, 0));
        Assert.True(Poller.Deregister(Descriptor).IsError);
    }

    [Fact]
    public void Modify_WithoutWriting_EndsTheTellingOfRoom()
    {
        Poller.Register(Descriptor, Interest.Read | Interest.Write, s_token);
        Assert.Equal(Readiness.Writable, Look());

        Assert.False(Poller.Modify(Descriptor, Interest.Read, s_token).IsError);
        Send(Peer, Socket);

        Assert.Equal(Readiness.Readable, Look());
    }

    [Fact]
    public void Room_AfterAFullBuffer_IsAnEdge()
    {
        Socket.Blocking = false;
        Poller.Register(Descriptor, Interest.Read | Interest.Write, s_token);
        Assert.Equal(Readiness.Writable, Look());
        byte[] block = new byte[64 * 1024];
        long sent = 0;
        while (true)
        {
            int count = Socket.Send(block, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock)
            {
                break;
            }

            Assert.Equal(SocketError.Success, error);
            sent += count;
        }

        // Edges of room that came and went while it filled up are hints.
        Look();
        Assert.Equal(Readiness.None, Look());

        Peer.ReceiveTimeout = (int)Timeouts.Limit.TotalMilliseconds;
        while (sent > 0)
        {
            sent -= Peer.Receive(block);
        }

        WaitFor(Readiness.Writable);
    }

    [Fact]
    public void EndOfBothDirections_AtOnce_IsToldAsPeerClosedAndHangUp()
    {
        Poller.Register(Descriptor, Interest.Read | Interest.Write, s_token);

        Peer.Shutdown(SocketShutdown.Send);
        Socket.Shutdown(SocketShutdown.Send);

        Assert.NotEqual(Readiness.None, WaitFor(Readiness.HangUp) & Readiness.PeerClosed);
    }

    [Fact]
    public void ResetByThePeer_IsToldAsErrorAndHangUp()
    {
        Poller.Register(Descriptor, Interest.Read, s_token);

        Peer.LingerState = new LingerOption(true, 0);
        Peer.Dispose();

        Assert.NotEqual(Readiness.None, WaitFor(Readiness.Error) & Readiness.HangUp);
        Assert.Equal(Errno.ECONNRESET, SystemCalls.TakeSocketError(Descriptor));
    }

    [Fact]
    public void UrgentData_IsToldAsPriority_AtLatestWithWhatFollowsIt()
    {
        Poller.Register(Descriptor, Interest.Read, s_token);

        Peer.Send([1], SocketFlags.OutOfBand);
        Peer.Send([2]);

        Readiness told = Readiness.None;
        while ((told & Readiness.Priority) == 0)
        {
            int count = Poller.Wait(Events, (int)Timeouts.Limit.TotalMilliseconds);
            Assert.Equal(1, count);
            told |= Events[0].Readiness;
        }
    }

    [Fact]
    public void Wake_BeforeAWait_EndsIt()
    {
        Poller.Wake();

        Assert.Equal(1, Poller.Wait(Events, (int)Timeouts.Limit.TotalMilliseconds));
        Assert.Equal(Token.Wake, Events[0].Token);
        Assert.Equal(0, Poller.Wait(Events, 0));
    }

    [Fact]
    public async Task Wake_DuringAWait_EndsItEachTime()
    {
        for (int round = 0; round < 20; round++)
        {
            TaskCompletionSource<string> waits = new(TaskCreationOptions.RunContinuationsAsynchronously);
            Task<Token> waiter = OnThread(() =>
            {
                waits.SetResult(OperatingSystem.IsLinux() ? Directory.ResolveLinkTarget("/proc/thread-self", returnFinalTarget: false)!.FullName : "");
                int count;
                do
                {
                    count = Poller.Wait(Events, -1);
                }
                while (count == 0);

                return Events[0].Token;
            });
            string thread = await waits.Task.OrTimeout();

            // Asleep: what it does last is wait. Only Linux can be asked; elsewhere the wake may come before the wait.
            await Timeouts.UntilAsync(() => thread.Length == 0 || File.ReadAllText(thread + "/stat").Split(") ")[^1][0] == 'S');
            Poller.Wake();

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
                Poller.Register(number, Interest.Read, s_token);
                Send(Peer, Socket);

                // On its way, and then ended.
                Assert.False(Poller.Deregister(number).IsError);
                Assert.Equal(number, Duplicate2((int)other.Handle, number));
                Token next = new(3, 8);
                Assert.False(Poller.Register(number, Interest.Read, next).IsError);
                Assert.Equal(0, Poller.Wait(Events, 0));

                // The socket that had the number has more to tell, and the one that has it now.
                Peer.Send([2]);
                Send(otherPeer, other);

                Assert.Equal(Readiness.None, Look(s_token, out Readiness told, next));
                Assert.Equal(Readiness.Readable, told);
            }
            finally
            {
                Poller.Deregister(number);
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
            Assert.Equal(0, Poller.Wait(Events, TimeoutMs));
            TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
            longest = elapsed > longest ? elapsed : longest;
        }

        Assert.InRange(longest.TotalMilliseconds, TimeoutMs, Timeouts.Limit.TotalMilliseconds);
        Assert.Equal(0, Poller.Wait(Events, 0));
    }

    [Fact]
    public void Wait_WithMoreThanFits_TellsTheRestNext()
    {
        (Socket otherPeer, Socket other) = Connect();
        using (otherPeer)
        using (other)
        {
            Token otherToken = new(4, 1);
            Poller.Register(Descriptor, Interest.Write, s_token);
            Poller.Register((int)other.Handle, Interest.Write, otherToken);
            PollEvent[] one = new PollEvent[1];

            Assert.Equal(1, Poller.Wait(one, 0));
            Token first = one[0].Token;
            Assert.Equal(1, Poller.Wait(one, 0));

            Assert.Equal([s_token, otherToken], new[] { first, one[0].Token }.OrderBy(token => token.Slot));
        }
    }

    [Fact]
    public async Task SharedListener_OfTwoPollersThatWait_WakesAtLeastOne()
    {
        using Poller second = Backend.Create();
        Poller[] pollers = [Poller, second];
        for (int round = 0; round < 20; round++)
        {
            foreach (Poller poller in pollers)
            {
                Assert.False(poller.RegisterShared((int)Listener.Handle, s_token).IsError);
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
            client.Connect(Listener.LocalEndPoint!);

            Task<Token> woken = await Task.WhenAny(waiters).OrTimeout();
            Assert.Equal(s_token, await woken);

            // The other one, if it slept on.
            using Socket accepted = Listener.Accept();
            foreach (Poller poller in pollers)
            {
                poller.Wake();
            }

            await Task.WhenAll(waiters).OrTimeout();
            foreach (Poller poller in pollers)
            {
                poller.Wait(new PollEvent[4], 0);
                Assert.False(poller.Deregister((int)Listener.Handle).IsError);
            }
        }
    }

    [Fact]
    public void Errors_OfMisuse_AreValues()
    {
        Assert.True(Poller.Deregister(Descriptor).IsError);
        Assert.Equal(Errno.EBADF, Poller.Register(-1, Interest.Read, s_token).Errno);
        Assert.Equal(Errno.EBADF, Poller.Register(-1, Interest.Read | Interest.Write, s_token).Errno);
        Assert.Equal(Errno.EBADF, Poller.RegisterShared(-1, s_token).Errno);
        if (Backend.SaysMistakes)
        {
            Assert.True(Poller.Modify(Descriptor, Interest.Read, s_token).IsError);
            Assert.False(Poller.Register(Descriptor, Interest.Read, s_token).IsError);
            Assert.True(Poller.Register(Descriptor, Interest.Read, s_token).IsError);
        }
    }

    [Fact]
    public void Calls_AfterDispose_AreErrorsAndHarmless()
    {
        Poller.Dispose();

        Assert.Equal(Errno.EBADF, Poller.Register(Descriptor, Interest.Read, s_token).Errno);
        Assert.Equal(Errno.EBADF, Poller.RegisterShared((int)Listener.Handle, s_token).Errno);
        Assert.Equal(Errno.EBADF, Poller.Modify(Descriptor, Interest.Read, s_token).Errno);
        Assert.Equal(Errno.EBADF, Poller.Deregister(Descriptor).Errno);
        Poller.Wake();
        Poller.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "dup2")]
    private static partial int Duplicate2(int descriptor, int number);
}
