using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Polling;

/// <summary>A poller of one backend, a connected socket with its peer, and ways to look at what is told of it.</summary>
public abstract class PollerFixture : IDisposable
{
    private protected static readonly Token s_token = new(3, 7);

    private protected PollerFixture(PollerBackend backend)
    {
        Backend = backend;
        Poller = backend.Create();
        Listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        Listener.Listen();
        (Peer, Socket) = Connect();
    }

    private protected PollerBackend Backend { get; }

    private protected Poller Poller { get; }

    private protected Socket Listener { get; } = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    private protected Socket Peer { get; }

    private protected Socket Socket { get; }

    private protected PollEvent[] Events { get; } = new PollEvent[16];

    private protected int Descriptor => (int)Socket.Handle;

    public void Dispose()
    {
        Peer.Dispose();
        Socket.Dispose();
        Listener.Dispose();
        Poller.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected static Task<T> OnThread<T>(Func<T> function) =>
        Task.Factory.StartNew(function, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>Sends a byte and waits until it has arrived.</summary>
    private protected static void Send(Socket from, Socket to)
    {
        from.Send([1]);
        Assert.True(to.Poll(Timeouts.Limit, SelectMode.SelectRead));
    }

    private protected (Socket Peer, Socket Socket) Connect()
    {
        Socket peer = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        peer.Connect(Listener.LocalEndPoint!);
        return (peer, Listener.Accept());
    }

    /// <summary>What is told of <see cref="s_token"/> now.</summary>
    private protected Readiness Look()
    {
        Readiness told = Look(s_token, out Readiness others, s_token);
        Assert.Equal(told, others);
        return told;
    }

    private protected Readiness Look(Token token, out Readiness toldOther, Token other)
    {
        Readiness told = Readiness.None;
        toldOther = Readiness.None;
        int count = Poller.Wait(Events, 0);
        foreach (PollEvent ready in Events.AsSpan(0, count))
        {
            told |= ready.Token == token ? Seen(ready.Readiness) : 0;
            toldOther |= ready.Token == other ? Seen(ready.Readiness) : 0;
            Assert.True(ready.Token == token || ready.Token == other, $"An event of {ready.Token}.");
        }

        return told;
    }

    /// <summary>Waits until <paramref name="expected"/> is told; returns everything that was.</summary>
    private protected Readiness WaitFor(Readiness expected)
    {
        Readiness told = Readiness.None;
        long deadlineMs = Environment.TickCount64 + (long)Timeouts.Limit.TotalMilliseconds;
        while ((told & expected) != expected)
        {
            int left = (int)(deadlineMs - Environment.TickCount64);
            Assert.True(left > 0, $"{expected} was not told, but {told}.");
            int count = Poller.Wait(Events, left);
            foreach (PollEvent ready in Events.AsSpan(0, count))
            {
                Assert.Equal(s_token, ready.Token);
                told |= Seen(ready.Readiness);
            }
        }

        return told;
    }

    // Urgent data that a backend only says because it can't know is no news to a test.
    private Readiness Seen(Readiness told) => Backend.SeesUrgentData ? told : told & ~Readiness.Priority;
}
