using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Loops;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Listening;

/// <summary>A loop that ended gets no connection and keeps no listener.</summary>
[Collection(RunsAlone.Name)]
public class ListenerOfEndedLoopsTests
{
    private const int Loops = 3;
    private const int Clients = 30;

    private readonly List<BrokenPoller> _pollers = [];

    public static TheoryData<TransportMode, Wire> Modes => TransportModes.AllOnBothWires;

    [Theory]
    [MemberData(nameof(Modes))]
    public async Task Accept_AfterTheLoopsButOneEnded_GoesOnWithTheLast(TransportMode mode, Wire wire)
    {
        using TestTransport transport = CreateTransport(mode);
        EpollListener listener = EpollListener.Bind(transport.Engine, wire.NewEndPoint());
        EventLoop[] loops = transport.Engine.Loops.Started;

        // Those that have the listener first: over kqueue that is one.
        int[] ended = [.. loops.OrderByDescending(loop => loop.Handlers.Length).Select(loop => loop.Index).Take(Loops - 1)];
        foreach (int index in ended)
        {
            _pollers[index].Break(new InvalidOperationException("on purpose"));
            await Timeouts.UntilAsync(() => loops[index].HasEnded);
        }

        List<ConnectionContext> accepted = [];
        for (int i = 0; i < Clients; i++)
        {
            using Socket client = wire.ConnectTo(listener.EndPoint);
            ConnectionContext? connection = await listener.AcceptAsync().OrTimeout();
            Assert.NotNull(connection);
            accepted.Add(connection);
            client.SendAll("x"u8);
            System.IO.Pipelines.ReadResult read = await connection.Transport.Input.ReadAsync().OrTimeout();
            Assert.Equal(1, read.Buffer.Length);
            connection.Transport.Input.AdvanceTo(read.Buffer.End);
        }

        Assert.All(ended, index => Assert.Equal(0, loops[index].Load));
        accepted.ForEach(connection => connection.Abort());
        await listener.UnbindAsync().OrTimeout();
    }

    [Theory]
    [MemberData(nameof(Modes))]
    public async Task Accept_AfterAllLoopsEnded_ThrowsAndUnbindingFreesTheAddress(TransportMode mode, Wire wire)
    {
        using TestTransport transport = CreateTransport(mode);
        EpollListener listener = EpollListener.Bind(transport.Engine, wire.NewEndPoint());
        Task<ConnectionContext?> accept = listener.AcceptAsync().AsTask();

        _pollers.ForEach(poller => poller.Break(new InvalidOperationException("on purpose")));

        await Assert.ThrowsAnyAsync<Exception>(() => accept.OrTimeout());
        await listener.UnbindAsync().OrTimeout();
        Assert.Null(await listener.AcceptAsync().OrTimeout());
        Assert.Throws<SocketException>(() => wire.ConnectTo(listener.EndPoint));
    }

    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task Create_AfterTheLoopsButOneEnded_UsesTheLast(Wire wire)
    {
        using TestTransport transport = CreateTransport(TransportMode.Adaptive);
        EventLoop[] loops = transport.Engine.Loops.Loops;
        for (int i = 0; i < Loops - 1; i++)
        {
            int index = i;
            _pollers[index].Break(new InvalidOperationException("on purpose"));
            await Timeouts.UntilAsync(() => loops[index].HasEnded);
        }

        for (int i = 0; i < 10; i++)
        {
            ConnectionContext connection = transport.Connect(wire, out Socket peer);
            peer.Dispose();
            await connection.DisposeAsync().OrTimeout();
        }
    }

    private TestTransport CreateTransport(TransportMode mode) => new(
        options =>
        {
            options.LoopCount = Loops;
            options.Scheduling = mode.Scheduling();
        },
        () =>
        {
            BrokenPoller poller = new(mode.CreatePoller());
            _pollers.Add(poller);
            return poller;
        });
}
