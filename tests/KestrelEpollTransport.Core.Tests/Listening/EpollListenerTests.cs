using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Tests.Loops;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Listening;

/// <summary>A listener with many clients. Hundreds of descriptors, and how they spread depends on load: alone.</summary>
[Collection(RunsAlone.Name)]
public class EpollListenerTests
{
    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task Queue_ThatIsFull_LeavesClientsToTheBacklogAndHandsOutAll(Wire wire)
    {
        const int Surplus = 100;
        using TestTransport transport = new();
        EpollListener listener = EpollListener.Bind(transport.Engine, EndPointOf(wire));
        List<Socket> clients = [];
        List<ConnectionContext> accepted = [];
        try
        {
            for (int i = 0; i < AcceptPlaces.Limit; i++)
            {
                clients.Add(ConnectTo(listener.EndPoint, wire));
            }

            // One less: the other loop may have reserved the last place, for a connection that this one got.
            await Timeouts.UntilAsync(() => transport.Load >= AcceptPlaces.Limit - 1);
            for (int i = 0; i < Surplus; i++)
            {
                clients.Add(ConnectTo(listener.EndPoint, wire));
            }

            // Each client says who it is: before it is accepted, too.
            for (int i = 0; i < clients.Count; i++)
            {
                clients[i].SendAll(BitConverter.GetBytes(i));
            }

            Assert.InRange(transport.Load, AcceptPlaces.Limit - 1, AcceptPlaces.Limit);
            HashSet<int> seen = [];
            while (accepted.Count < clients.Count)
            {
                ConnectionContext? connection = await listener.AcceptAsync().OrTimeout();
                Assert.NotNull(connection);
                accepted.Add(connection);
                System.IO.Pipelines.ReadResult result = await connection.Transport.Input.ReadAtLeastAsync(sizeof(int)).OrTimeout();
                seen.Add(BitConverter.ToInt32(result.Buffer.FirstSpan));
                connection.Transport.Input.AdvanceTo(result.Buffer.End);
            }

            Assert.Equal(clients.Count, seen.Count);
            Assert.Equal(clients.Count, transport.Load);
        }
        finally
        {
            await listener.UnbindAsync().OrTimeout();
            accepted.ForEach(connection => connection.Abort());
            clients.ForEach(client => client.Dispose());
        }

        Assert.Null(await listener.AcceptAsync().OrTimeout());
    }

    [Fact]
    public async Task Dispose_WithConnectionsInTheQueue_AbortsThem()
    {
        using TestTransport transport = new();
        EpollListener listener = EpollListener.Bind(transport.Engine, EndPointOf(Wire.Tcp));
        using Socket client = ConnectTo(listener.EndPoint, Wire.Tcp);
        await Timeouts.UntilAsync(() => transport.Load == 1);

        await listener.DisposeAsync().OrTimeout();

        Assert.Equal(0, transport.Load);
        SocketException error = Assert.Throws<SocketException>(() => client.Receive(new byte[1]));
        Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
        Assert.Equal(
            SocketError.ConnectionRefused, Assert.Throws<SocketException>(() => ConnectTo(listener.EndPoint, Wire.Tcp)).SocketErrorCode);
    }

    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task IdleConnections_OfAServerThatHasLittleToDo_AreSpreadOverTheLoops(Wire wire)
    {
        const int Connections = 400;
        using TestTransport transport = new(options => options.LoopCount = 4);
        EpollListener listener = EpollListener.Bind(transport.Engine, EndPointOf(wire));
        List<Socket> clients = [];
        List<ConnectionContext> accepted = [];
        try
        {
            for (int i = 0; i < Connections; i++)
            {
                clients.Add(ConnectTo(listener.EndPoint, wire));
                ConnectionContext? connection = await listener.AcceptAsync().OrTimeout();
                Assert.NotNull(connection);
                accepted.Add(connection);
            }

            int[] loads = Array.ConvertAll(transport.Engine.Loops.Started, loop => loop.Load);
            Assert.Equal(4, loads.Length);
            Assert.Equal(Connections, loads.Sum());
            Assert.All(loads, load => Assert.InRange(load, 50, 150));
        }
        finally
        {
            await listener.UnbindAsync().OrTimeout();
            accepted.ForEach(connection => connection.Abort());
            clients.ForEach(client => client.Dispose());
        }
    }

    [Fact]
    public async Task NewConnections_BesideManyThatAreAlwaysReady_GetTheirShareOfEachRound()
    {
        const int Ready = 100;
        const int New = 100;

        // On a thread of the loop's own, which nobody takes the loop from while it is held.
        using TestTransport transport = new(options =>
        {
            options.LoopCount = 1;
            options.Scheduling = ApplicationScheduling.UnsafeInline;
        });
        using ManualResetEventSlim held = new();
        using ManualResetEventSlim release = new();
        EpollListener listener = EpollListener.Bind(transport.Engine, EndPointOf(Wire.Tcp));
        EventLoop loop = transport.Engine.Loops.Started[0];
        List<Socket> clients = [];
        try
        {
            for (int i = 0; i < Ready; i++)
            {
                clients.Add(ConnectTo(listener.EndPoint, Wire.Tcp));
            }

            await Timeouts.UntilAsync(() => transport.Load == Ready);
            loop.Post(new TestWork(() =>
            {
                held.Set();
                release.Wait(Timeouts.Limit);
            }));
            Assert.True(held.Wait(Timeouts.Limit));

            // All of it is ready when the loop looks again: the listener last.
            clients.ForEach(client => client.SendAll("x"u8));
            for (int i = 0; i < New; i++)
            {
                clients.Add(ConnectTo(listener.EndPoint, Wire.Tcp));
            }

            // Runs when the events of the next pass were dispatched.
            TaskCompletionSource<int> loadAfterOneRound = new(TaskCreationOptions.RunContinuationsAsynchronously);
            loop.Post(new TestWork(() => loadAfterOneRound.SetResult(transport.Load)));
            release.Set();

            int taken = await loadAfterOneRound.Task.OrTimeout() - Ready;
            Assert.Equal(Ready / AcceptHandler.EventsPerAccept, taken);
            await Timeouts.UntilAsync(() => transport.Load == Ready + New);
        }
        finally
        {
            release.Set();
            await listener.UnbindAsync().OrTimeout();
            clients.ForEach(client => client.Dispose());
        }
    }

    private static EndPoint EndPointOf(Wire wire) =>
        wire == Wire.Tcp ? new IPEndPoint(IPAddress.Loopback, 0) : new UnixDomainSocketEndPoint($"\0{Guid.NewGuid():N}");

    private static Socket ConnectTo(EndPoint endPoint, Wire wire)
    {
        Socket socket = new(endPoint.AddressFamily, SocketType.Stream, wire == Wire.Tcp ? ProtocolType.Tcp : ProtocolType.Unspecified);
        try
        {
            socket.Connect(endPoint);
            socket.ReceiveTimeout = socket.SendTimeout = (int)Timeouts.Limit.TotalMilliseconds;
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
