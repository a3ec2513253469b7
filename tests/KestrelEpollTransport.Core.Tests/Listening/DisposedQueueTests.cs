using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Listening;

/// <summary>Connections that were accepted and that nobody took: disposing of the listener ends them, and returns what they had.</summary>
public class DisposedQueueTests
{
    private const int MaxReadBufferSize = 16 * 1024;
    private const int Sent = 4 * MaxReadBufferSize;

    public static TheoryData<TransportMode, Wire> Modes => TransportModes.AllOnBothWires;

    [Theory]
    [MemberData(nameof(Modes))]
    public async Task Dispose_ConnectionsThatSentNothing_CloseTheirDescriptors(TransportMode mode, Wire wire)
    {
        using TestTransport transport = Create(mode);
        EpollListener listener = EpollListener.Bind(transport.Engine, wire.NewEndPoint());
        using Socket client = await ConnectAsync(transport, listener, wire, expected: 1);

        await AssertDisposalReturnsAllAsync(transport, listener);

        Assert.Equal(0, Receive(client));
    }

    [Theory]
    [MemberData(nameof(Modes))]
    public async Task Dispose_ConnectionsThatSentMoreThanIsRead_ReturnTheirBlocksAndDescriptors(TransportMode mode, Wire wire)
    {
        using TestTransport transport = Create(mode);
        EpollListener listener = EpollListener.Bind(transport.Engine, wire.NewEndPoint());
        using Socket client = await ConnectAsync(transport, listener, wire, expected: 1);
        await SendAsync(transport, client);

        await AssertDisposalReturnsAllAsync(transport, listener);

        Assert.Equal(0, Receive(client));
        await transport.Pool.AssertAllReturnedAsync();
    }

    /// <remarks>The next connection is accepted by the same loop, which then has seen the end of the first.</remarks>
    [Theory]
    [MemberData(nameof(Modes))]
    public async Task Dispose_ConnectionsThatSentMoreThanIsReadAndWereReset_ReturnTheirBlocksAndDescriptors(TransportMode mode, Wire wire)
    {
        using TestTransport transport = Create(mode);
        EpollListener listener = EpollListener.Bind(transport.Engine, wire.NewEndPoint());
        Socket client = await ConnectAsync(transport, listener, wire, expected: 1);
        await SendAsync(transport, client);
        client.LingerState = new LingerOption(enable: true, seconds: 0);
        client.Dispose();
        using Socket next = await ConnectAsync(transport, listener, wire, expected: 2);

        await AssertDisposalReturnsAllAsync(transport, listener);

        await transport.Pool.AssertAllReturnedAsync();
    }

    private static TestTransport Create(TransportMode mode) => new(
        options =>
        {
            options.Scheduling = mode.Scheduling();
            options.LoopCount = 1;
            options.MaxReadBufferSize = MaxReadBufferSize;
        },
        () => mode.CreatePoller());

    private static async Task<Socket> ConnectAsync(TestTransport transport, EpollListener listener, Wire wire, int expected)
    {
        Socket client = wire.ConnectTo(listener.EndPoint);
        await Timeouts.UntilAsync(() => transport.Load == expected);
        return client;
    }

    /// <summary>Returns when as much of it as may be is received ahead.</summary>
    private static async Task SendAsync(TestTransport transport, Socket client)
    {
        client.SendAll(new byte[Sent]);
        await Timeouts.UntilAsync(() => transport.Pool.Outstanding * 4096 >= MaxReadBufferSize);
    }

    private static async Task AssertDisposalReturnsAllAsync(TestTransport transport, EpollListener listener)
    {
        await listener.DisposeAsync().OrTimeout();

        await Timeouts.UntilAsync(() => transport.Load == 0);
        Assert.Null(await listener.AcceptAsync().OrTimeout());
    }

    private static int Receive(Socket client)
    {
        try
        {
            return client.Receive(new byte[1]);
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionReset)
        {
            return 0;
        }
    }
}
