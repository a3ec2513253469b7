using System.Net.Sockets;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Polling;

/// <summary>The part of the contract that is about many: threads, descriptors, pollers. Run on every backend.</summary>
public abstract class PollerConcurrencyTests : PollerFixture
{
    private const int Threads = 4;

    private protected PollerConcurrencyTests(PollerBackend backend)
        : base(backend)
    {
    }

    [Fact]
    public async Task Wake_FromManyThreads_AlwaysEndsTheWaitThatFollows()
    {
        const int Rounds = 500;
        int posted = 0;
        int seen = 0;
        Task<int> waiter = OnThread(() =>
        {
            PollEvent[] events = new PollEvent[8];
            while (Volatile.Read(ref seen) < Threads * Rounds)
            {
                // Who wakes has posted before: without a lost wake, this ends with every post seen.
                int count = Poller.Wait(events, (int)Timeouts.Limit.TotalMilliseconds);
                Assert.True(count > 0, $"No wake came; {Volatile.Read(ref posted)} were posted, {seen} seen.");
                Assert.All(events[..count], one => Assert.Equal(Token.Wake, one.Token));
                Volatile.Write(ref seen, Volatile.Read(ref posted));
            }

            return seen;
        });
        Task<int>[] wakers = [.. Enumerable.Range(0, Threads).Select(_ => OnThread(() =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                Interlocked.Increment(ref posted);
                Poller.Wake();
            }

            return 0;
        }))];

        await Task.WhenAll(wakers).OrTimeout();
        Assert.Equal(Threads * Rounds, await waiter.OrTimeout());
    }

    [Fact]
    public void ManyDescriptors_MoreThanABatch_AreEachToldOnce()
    {
        // More than a poller fetches with one call.
        const int Count = 300;
        List<(Socket Peer, Socket Socket)> pairs = [];
        try
        {
            for (int i = 0; i < Count; i++)
            {
                pairs.Add(Connect());
                Assert.False(Poller.Register((int)pairs[i].Socket.Handle, Interest.Read | Interest.Write, new Token(i, 1)).IsError);
            }

            int[] writable = Fetch(Count, Readiness.Writable);
            Assert.All(writable, times => Assert.Equal(1, times));
            Assert.Equal(0, Poller.Wait(Events, 0));

            foreach ((Socket peer, Socket socket) in pairs)
            {
                Send(peer, socket);
            }

            int[] readable = Fetch(Count, Readiness.Readable);
            Assert.All(readable, times => Assert.Equal(1, times));
        }
        finally
        {
            foreach ((Socket peer, Socket socket) in pairs)
            {
                _ = Poller.Deregister((int)socket.Handle);
                peer.Dispose();
                socket.Dispose();
            }
        }
    }

    [Fact]
    public async Task Closing_OnManyThreadsDuringWaits_LeavesNoRegistrationAndNoStaleToken()
    {
        // Descriptors come and go, with the same few numbers over and over, while one thread waits. Every token is used once.
        const int Rounds = 150;
        int lastSlot = 0;
        bool ended = false;
        HashSet<Token> told = [];
        Task<int> waiter = OnThread(() =>
        {
            PollEvent[] events = new PollEvent[8];
            while (!Volatile.Read(ref ended))
            {
                int count = Poller.Wait(events, (int)Timeouts.Limit.TotalMilliseconds);
                foreach (PollEvent one in events.AsSpan(0, count))
                {
                    if (one.Token != Token.Wake)
                    {
                        Assert.InRange(one.Token.Slot, 1, Volatile.Read(ref lastSlot));
                        Assert.Equal(9u, one.Token.Generation);
                        lock (told)
                        {
                            told.Add(one.Token);
                        }
                    }
                }
            }

            return 0;
        });
        Task<int>[] owners = [.. Enumerable.Range(0, Threads).Select(_ => OnThread(() =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                Token token = new(Interlocked.Increment(ref lastSlot), 9);
                int number = (int)SystemCalls.Duplicate(Descriptor).Value;
                Assert.False(Poller.Register(number, Interest.Read | Interest.Write, token).IsError);
                Assert.False(Poller.Modify(number, Interest.Read, token).IsError);
                Assert.False(Poller.Deregister(number).IsError);
                SystemCalls.Close(number);
            }

            return 0;
        }))];

        await Task.WhenAll(owners).OrTimeout();
        Volatile.Write(ref ended, true);
        Poller.Wake();
        await waiter.OrTimeout();

        // The socket behind all those numbers lives on: what happens to it is nobody's now.
        Drain();
        Send(Peer, Socket);
        Assert.Equal(0, Poller.Wait(Events, 0));
        Assert.False(Poller.Register(Descriptor, Interest.Read, s_token).IsError);
        Assert.Equal(Readiness.Readable, Look());
    }

    [Fact]
    public async Task SharedListener_WithOneConnection_WakesFewOfThePollersThatHaveIt()
    {
        // Where a connection wakes all of them, the contract says to register with one: then there is nothing to count.
        const int Rounds = 20;
        Poller[] pollers = [.. Enumerable.Range(0, Poller.SharesListeners ? Threads : 1).Select(_ => Backend.Create())];
        int told = 0;
        for (int round = 0; round < Rounds; round++)
        {
            TaskCompletionSource first = new(TaskCreationOptions.RunContinuationsAsynchronously);
            Task<int>[] waiters = [.. pollers.Select(poller => OnThread(() =>
            {
                Assert.False(poller.RegisterShared((int)Listener.Handle, s_token).IsError);
                PollEvent[] events = new PollEvent[4];
                while (true)
                {
                    int count = poller.Wait(events, (int)Timeouts.Limit.TotalMilliseconds);
                    Assert.True(count > 0, "Neither the connection nor the wake came.");
                    if (events.Take(count).Any(one => one.Token == Token.Wake))
                    {
                        return 0;
                    }

                    // It is told until it is accepted, and that is not what is counted.
                    Assert.False(poller.Deregister((int)Listener.Handle).IsError);
                    Interlocked.Increment(ref told);
                    first.TrySetResult();
                }
            }))];
            using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            await client.ConnectAsync(Listener.LocalEndPoint!).OrTimeout();
            await first.Task.OrTimeout();
            using Socket accepted = Listener.Accept();
            foreach (Poller poller in pollers)
            {
                poller.Wake();
            }

            await Task.WhenAll(waiters).OrTimeout();
            foreach (Poller poller in pollers)
            {
                poller.Deregister((int)Listener.Handle);
                poller.Wait(Events, 0);
            }
        }

        Assert.InRange(told, Rounds, 2 * Rounds);
        Assert.All(pollers, poller => poller.Dispose());
    }

    [Fact]
    public async Task Register_DuringAWaitOfAnotherThread_TakesEffectOnIt()
    {
        Send(Peer, Socket);
        for (int round = 0; round < 20; round++)
        {
            TaskCompletionSource waits = new(TaskCreationOptions.RunContinuationsAsynchronously);
            PollEvent[] events = new PollEvent[4];
            Task<int> waiter = OnThread(() =>
            {
                waits.SetResult();
                return Poller.Wait(events, (int)Timeouts.Limit.TotalMilliseconds);
            });
            await waits.Task.OrTimeout();

            Assert.False(Poller.Register(Descriptor, Interest.Read, s_token).IsError);

            Assert.Equal(1, await waiter.OrTimeout());
            Assert.Equal(s_token, events[0].Token);
            Assert.False(Poller.Deregister(Descriptor).IsError);
        }
    }

    [Fact]
    public async Task Dispose_WithLateCallersOnManyThreads_ClosesTheDescriptorsOnce()
    {
        int before = 0;
        for (int round = 0; round < 50; round++)
        {
            // The first round makes what the process makes once.
            before = round == 1 ? Descriptors.CountWithoutFiles() : before;
            Poller poller = Backend.Create();
            using Barrier start = new(Threads + 1);
            Task<int>[] callers = [.. Enumerable.Range(0, Threads).Select(_ => OnThread(() =>
            {
                start.SignalAndWait(Timeouts.Limit);
                poller.Wake();
                poller.Register(Descriptor, Interest.Read, s_token);
                poller.Deregister(Descriptor);
                return 0;
            }))];

            start.SignalAndWait(Timeouts.Limit);
            poller.Dispose();
            await Task.WhenAll(callers).OrTimeout();
        }

        Assert.Equal(before, Descriptors.CountWithoutFiles());
    }

    /// <summary>How often each token up to <paramref name="count"/> was told <paramref name="expected"/>, when all were at least once.</summary>
    private int[] Fetch(int count, Readiness expected)
    {
        int[] times = new int[count];
        PollEvent[] events = new PollEvent[count];
        while (times.Contains(0))
        {
            int fetched = Poller.Wait(events, (int)Timeouts.Limit.TotalMilliseconds);
            Assert.True(fetched > 0, $"{times.Count(one => one == 0)} were not told {expected}.");
            foreach (PollEvent one in events.AsSpan(0, fetched))
            {
                Assert.Equal(1u, one.Token.Generation);
                times[one.Token.Slot] += (one.Readiness & expected) != 0 ? 1 : 0;
            }
        }

        return times;
    }

    private void Drain()
    {
        while (Poller.Wait(Events, 0) > 0)
        {
        }
    }
}
