using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Listening;

/// <summary>The transport ends while a listener pauses, and so is registered with no loop.</summary>
[Collection(RunsAlone.Name)]
public class DisposedTransportTests
{
    private const int Clients = AcceptPlaces.Limit + 40;

    public static TheoryData<TransportMode, Wire> Modes => TransportModes.AllOnBothWires;

    [Theory]
    [MemberData(nameof(Modes))]
    public async Task Dispose_WithAListenerWhoseQueueIsFull_UnbindsItAndEndsAccepting(TransportMode mode, Wire wire)
    {
        using TestTransport transport = new(options => options.Scheduling = mode.Scheduling(), () => mode.CreatePoller());
        EpollListener listener = EpollListener.Bind(transport.Engine, wire.NewEndPoint());
        List<Socket> clients = [];
        try
        {
            for (int i = 0; i < Clients; i++)
            {
                clients.Add(wire.ConnectTo(listener.EndPoint));
            }

            await Timeouts.UntilAsync(() => Array.TrueForAll(
                transport.Engine.Loops.Started, loop => !Array.Exists(loop.Handlers, handler => handler is AcceptHandler)));

            transport.Engine.Dispose();

            // What was accepted and not taken is aborted, as when it is unbound.
            Assert.Null(await listener.AcceptAsync().OrTimeout());
            Assert.Null(await listener.AcceptAsync().OrTimeout());
            await listener.UnbindAsync().OrTimeout();
            Assert.Equal(SocketError.ConnectionRefused, Assert.Throws<SocketException>(() => wire.ConnectTo(listener.EndPoint)).SocketErrorCode);
            Assert.All(clients, AssertEnds);
            await Timeouts.UntilAsync(() => transport.Load == 0);
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }
    }

    [Theory]
    [MemberData(nameof(Modes))]
    public async Task Dispose_WithAPendingAccept_EndsItWithNull(TransportMode mode, Wire wire)
    {
        using TestTransport transport = new(options => options.Scheduling = mode.Scheduling(), () => mode.CreatePoller());
        EpollListener listener = EpollListener.Bind(transport.Engine, wire.NewEndPoint());
        Task<ConnectionContext?> accept = listener.AcceptAsync().AsTask();

        transport.Engine.Dispose();

        Assert.Null(await accept.OrTimeout());
    }

    private static void AssertEnds(Socket client)
    {
        try
        {
            Assert.Equal(0, client.Receive(new byte[1]));
        }
        catch (SocketException error)
        {
            Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
        }
    }
}
