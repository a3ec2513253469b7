using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests.Polling;

/// <summary>What <see cref="Poller"/> promises in prose, asked of the one that this machine has.</summary>
public sealed class PollerContractTests : IDisposable
{
    private const int NoWait = 0;
    private const int Long = 20_000;
    private const Interest Both = Interest.Read | Interest.Write;

    private readonly Poller _poller = Poller.Create();
    private readonly PollEvent[] _events = new PollEvent[16];
    private readonly Socket _ours;
    private readonly Socket _peer;

    public PollerContractTests()
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        _peer = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        _peer.Connect(listener.LocalEndPoint!);
        _ours = listener.Accept();
    }

    public void Dispose()
    {
        _poller.Dispose();
        _ours.Dispose();
        _peer.Dispose();
    }

    [Fact]
    public void Register_WhatIsReadyAlready_IsToldOnce()
    {
        _peer.Send([1]);
        WaitUntilReadable();

        Register(_ours, Both, new Token(1, 1));

        Assert.Equal(Readiness.Readable | Readiness.Writable, Told(new Token(1, 1)));
        Assert.Equal(Readiness.None, Told(new Token(1, 1), NoWait));
    }

    [Fact]
    public void Edge_UnreadInputAndNewInput_IsToldAgainOnlyForTheNew()
    {
        Register(_ours, Interest.Read, new Token(1, 1));
        _peer.Send([1]);
        Assert.Equal(Readiness.Readable, Told(new Token(1, 1)));
        Assert.Equal(Readiness.None, Told(new Token(1, 1), NoWait));

        _peer.Send([2]);

        Assert.Equal(Readiness.Readable, Told(new Token(1, 1)));
    }

    [Fact]
    public void Modify_WhatIsReadyNow_IsToldAgain()
    {
        Register(_ours, Interest.Read, new Token(1, 1));
        Assert.Equal(Readiness.None, Told(new Token(1, 1), NoWait));

        Assert.False(_poller.Modify(Handle(_ours), Both, new Token(1, 1)).IsError);

        Assert.Equal(Readiness.Writable, Told(new Token(1, 1)));
    }

    [Fact]
    public void PeerShutsDown_IsToldAsPeerClosed()
    {
        Register(_ours, Interest.Read, new Token(1, 1));

        _peer.Shutdown(SocketShutdown.Send);

        Assert.Equal(Readiness.Readable | Readiness.PeerClosed, Told(new Token(1, 1)));
    }

    [Fact]
    public void PeerResets_IsToldAsErrorAndHangUpWithoutBeingAskedFor()
    {
        Register(_ours, Interest.Read, new Token(1, 1));

        _peer.LingerState = new LingerOption(true, 0);
        _peer.Close();

        Readiness told = Told(new Token(1, 1));
        Assert.True((told & (Readiness.Error | Readiness.HangUp)) == (Readiness.Error | Readiness.HangUp), $"Told was {told}.");
    }

    [Fact]
    public void UrgentData_IsToldAsPriority()
    {
        Register(_ours, Interest.Read, new Token(1, 1));

        _peer.Send([1], SocketFlags.OutOfBand);

        Assert.True((Told(new Token(1, 1)) & Readiness.Priority) != 0);
    }

    [Fact]
    public void Deregister_LaterInput_IsNotTold()
    {
        Register(_ours, Interest.Read, new Token(1, 1));
        Assert.False(_poller.Deregister(Handle(_ours)).IsError);
        _peer.Send([1]);
        WaitUntilReadable();

        Assert.Equal(0, _poller.Wait(_events, NoWait));
        Assert.True(_poller.Deregister(Handle(_ours)).IsError);
    }

    [Fact]
    public void RegisterShared_WaitingConnection_IsToldAtEveryWaitAndToSomePoller()
    {
        using Poller other = Poller.Create();
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        Assert.False(_poller.RegisterShared(Handle(listener), new Token(7, 1)).IsError);
        Assert.False(other.RegisterShared(Handle(listener), new Token(8, 1)).IsError);

        using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.Connect(listener.LocalEndPoint!);

        int here = _poller.Wait(_events, NoWait);
        int there = other.Wait(_events, NoWait);
        Assert.True(here + there >= 1, "Nobody was told.");
        Poller told = here > 0 ? _poller : other;
        Assert.Equal(1, told.Wait(_events, NoWait));
        Assert.Equal(Readiness.Readable, _events[0].Readiness);
    }

    [Fact]
    public void Wake_BeforeAWait_EndsIt()
    {
        _poller.Wake();
        _poller.Wake();

        Assert.Equal(1, _poller.Wait(_events, Long));
        Assert.Equal(Token.Wake, _events[0].Token);
        Assert.Equal(0, _poller.Wait(_events, NoWait));
    }

    [Fact]
    public async Task Wake_DuringAWait_EndsIt()
    {
        Task<int> wait = Task.Factory.StartNew(() => _poller.Wait(_events, Long), TaskCreationOptions.LongRunning);

        _poller.Wake();

        Assert.Equal(1, await wait.OrTimeout());
    }

    [Fact]
    public void Wait_NothingHappens_ReturnsAfterItsTime()
    {
        long startMs = Environment.TickCount64;

        Assert.Equal(0, _poller.Wait(_events, 30));

        // The clock of the assertion has a resolution of its own.
        Assert.True(Environment.TickCount64 - startMs >= 25, "The wait was over too soon.");
    }

    [Fact]
    public void AfterDispose_CallsFailAndHarmNobody()
    {
        _poller.Dispose();

        _poller.Wake();
        Assert.True(_poller.Register(Handle(_ours), Both, new Token(1, 1)).IsError);
        Assert.True(_poller.Deregister(Handle(_ours)).IsError);
        _poller.Dispose();
    }

    private static int Handle(Socket socket) => (int)socket.Handle;

    private void Register(Socket socket, Interest interest, Token token) =>
        Assert.False(_poller.Register(Handle(socket), interest, token).IsError);

    private void WaitUntilReadable() => Assert.True(_ours.Poll(TimeSpan.FromSeconds(20), SelectMode.SelectRead));

    // Several hints may come for one thing that happens: a connection's end, say. What is told is their union.
    private Readiness Told(Token token, int timeoutMs = Long)
    {
        Readiness told = Readiness.None;
        int count = _poller.Wait(_events, timeoutMs);
        for (int i = 0; i < count; i++)
        {
            Assert.Equal(token, _events[i].Token);
            told |= _events[i].Readiness;
        }

        return told;
    }
}
