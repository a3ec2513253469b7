using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Listening;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests.Restarting;

/// <summary>Who was connected when the endpoint was unbound is served; nobody that the kernel had completed the connection of is reset.</summary>
public class UnbindQueueTests
{
    private const string WhyNotSockets = "Sockets closes the listening socket, and the kernel resets what waits in its queue";

    /// <summary>More than the transport takes from the kernel before the application takes them.</summary>
    private const int Clients = AcceptPlaces.Limit + 150;

    [Theory]
    [EpollTransports(WhyNotSockets, false), EpollTransports(WhyNotSockets, true)]
    public async Task Unbind_WithClientsInTheKernelsQueue_HasAllOfThemServed(TransportKind kind, bool unix)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.NewEndPoint(unix));
        List<Socket> clients = [];
        try
        {
            for (int i = 0; i < Clients; i++)
            {
                clients.Add(await Net.ConnectAsync(listener.EndPoint));
                await clients[i].SendAsync("ping");
            }

            // Whoever comes second must not close the socket while the first one accepts.
            await Task.WhenAll(Task.Run(Unbind), Task.Run(Unbind)).OrTimeout();

            for (int i = 0; i < Clients; i++)
            {
                await using ConnectionContext server = await BindTests.AcceptAsync(listener);
                Assert.Equal("ping", await server.Transport.Input.ReadTextAsync(4));
                await server.Transport.Output.WriteTextAsync("pong");
            }

            Assert.Null(await listener.AcceptAsync().OrTimeout());
            foreach (Socket client in clients)
            {
                Assert.Equal("pong", await client.ReceiveTextToEndAsync());
            }

            SocketException error = await Assert.ThrowsAsync<SocketException>(() => Net.ConnectAsync(listener.EndPoint));
            Assert.Equal(SocketError.ConnectionRefused, error.SocketErrorCode);
        }
        finally
        {
            clients.ForEach(static client => client.Dispose());
        }

        async Task Unbind() => await listener.UnbindAsync();
    }

    /// <remarks>Without StopQueueing some clients come between the last accept and the close, in two to five of these ten cases.</remarks>
    [Theory]
    [EpollTransports(WhyNotSockets, false), EpollTransports(WhyNotSockets, true)]
    public async Task Unbind_WhileClientsConnect_ResetsNoneThatConnected(TransportKind kind, bool unix)
    {
        const int Storms = 4;
        await using var transport = new Transport(kind);
        var listener = (EpollListener)await transport.BindAsync(Net.NewEndPoint(unix));
        ConcurrentBag<Socket> connected = [];
        ConcurrentBag<ConnectionContext> accepted = [];
        var many = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task accepting = Task.Run(async () =>
        {
            while (await listener.AcceptAsync() is { } connection)
            {
                accepted.Add(connection);
                await connection.Transport.Output.WriteTextAsync("here");
                if (accepted.Count == 200)
                {
                    many.SetResult();
                }
            }
        });
        Task[] connecting = [.. Enumerable.Range(0, Storms).Select(_ => Task.Run(() => ConnectUntilRefusedAsync(listener.EndPoint, connected)))];
        await many.Task.OrTimeout();

        await listener.UnbindBehindHandshakesAsync(TimeSpan.FromMilliseconds(50)).OrTimeout();

        await accepting.OrTimeout();
        await Task.WhenAll(connecting).OrTimeout();
        Assert.Equal(connected.Count, accepted.Count);
        foreach (Socket client in connected)
        {
            Assert.Equal("here", await client.ReceiveTextAsync(4));
            client.Dispose();
        }

        foreach (ConnectionContext connection in accepted)
        {
            await connection.DisposeAsync().OrTimeout();
        }
    }

    [Theory]
    [EpollTransports(WhyNotSockets, false), EpollTransports(WhyNotSockets, true)]
    public async Task Dispose_BehindUnbind_AbortsWhatNobodyTook(TransportKind kind, bool unix)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.NewEndPoint(unix));
        using Socket client = await Net.ConnectAsync(listener.EndPoint);
        await listener.UnbindAsync().OrTimeout();

        await listener.DisposeAsync().OrTimeout();

        Assert.Null(await listener.AcceptAsync().OrTimeout());
        if (unix)
        {
            Assert.Empty(await client.ReceiveToEndAsync());
        }
        else
        {
            await client.AssertResetAsync();
        }
    }

    [Theory, EpollTransports(WhyNotSockets)]
    public async Task Unbind_OfADescriptorOfSomebodyElse_LeavesItsQueueAndLetsOthersConnect(TransportKind kind)
    {
        using var inherited = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        inherited.Bind(Net.AnyLoopbackPort);
        inherited.Listen();
        await using var transport = new Transport(kind);
        var listener = (EpollListener)await transport.BindAsync(new FileHandleEndPoint((ulong)inherited.Handle, FileHandleType.Tcp));

        await listener.UnbindBehindHandshakesAsync(TimeSpan.Zero).OrTimeout();

        using Socket client = await Net.ConnectAsync(inherited.LocalEndPoint!);
        using Socket server = await inherited.AcceptAsync().OrTimeout();
        Assert.Equal(client.LocalEndPoint, server.RemoteEndPoint);
    }

    private static async Task ConnectUntilRefusedAsync(EndPoint endPoint, ConcurrentBag<Socket> connected)
    {
        while (true)
        {
            Socket client = Net.CreateClient(endPoint);
            try
            {
                await client.ConnectAsync(endPoint);
                connected.Add(client);
            }
            catch (SocketException error)
            {
                client.Dispose();
                if (error.SocketErrorCode == SocketError.WouldBlock)
                {
                    // A unix socket whose backlog is full, connect(2).
                    await Task.Yield();
                    continue;
                }

                Assert.Equal(SocketError.ConnectionRefused, error.SocketErrorCode);
                return;
            }
        }
    }
}
