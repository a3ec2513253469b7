using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Accepting, unbinding and disposing of a listener.</summary>
public class AcceptTests
{
    [Theory, AllTransports]
    public async Task Accept_PendingAtUnbind_GivesNull(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        Task<ConnectionContext?> accept = listener.AcceptAsync().AsTask();
        Assert.False(accept.IsCompleted);

        await listener.UnbindAsync().OrTimeout();

        Assert.Null(await accept.OrTimeout());
        Assert.Null(await listener.AcceptAsync().OrTimeout());
        await listener.DisposeAsync().OrTimeout();
        Assert.Null(await listener.AcceptAsync().OrTimeout());
    }

    [Theory, AllTransports]
    public async Task Accept_PendingAtDispose_GivesNull(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        Task<ConnectionContext?> accept = listener.AcceptAsync().AsTask();

        await listener.DisposeAsync().OrTimeout();

        Assert.Null(await accept.OrTimeout());
    }

    [Theory, AllTransports]
    public async Task UnbindAndDispose_Repeated_DoNothingMore(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);

        await listener.UnbindAsync().OrTimeout();
        await listener.UnbindAsync().OrTimeout();
        await listener.DisposeAsync().OrTimeout();
        await listener.DisposeAsync().OrTimeout();
        await listener.UnbindAsync().OrTimeout();

        SocketException error = await Assert.ThrowsAsync<SocketException>(() => Net.ConnectAsync(listener.EndPoint));
        Assert.Equal(SocketError.ConnectionRefused, error.SocketErrorCode);
        Assert.Empty(transport.Logs.Of(kind));
    }

    [Theory, EpollTransports("on Sockets such a client makes AcceptAsync throw, and Kestrel then gives the endpoint up")]
    public async Task Accept_UnixClientWithTheLongestPath_IsAcceptedAndListenerGoesOn(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        UnixDomainSocketEndPoint server = Net.NewAbstractEndPoint();
        IConnectionListener listener = await transport.BindAsync(server);
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}".PadRight(108, 'x'))[..108];
        try
        {
            using Socket client = Net.CreateClient(server);
            byte[] address = [(byte)1, 0, .. System.Text.Encoding.ASCII.GetBytes(path)];
            Assert.Equal(0, Libc.Bind((int)client.Handle, address, address.Length));
            await client.ConnectAsync(server).OrTimeout();
            await using ConnectionContext accepted = await BindTests.AcceptAsync(listener);
            Assert.StartsWith(path[..100], accepted.RemoteEndPoint?.ToString(), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }

        using Socket next = Net.CreateClient(server);
        await next.ConnectAsync(server).OrTimeout();
        await using ConnectionContext second = await BindTests.AcceptAsync(listener);
    }

    [Theory, AllTransports]
    public async Task Accept_TokenCancelled_ThrowsAndListenerGoesOn(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        using var cancel = new CancellationTokenSource();
        Task<ConnectionContext?> accept = listener.AcceptAsync(cancel.Token).AsTask();

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => accept.OrTimeout());
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => listener.AcceptAsync(cancel.Token).OrTimeout());
        await BindTests.AssertEchoAsync(listener, listener.EndPoint);
    }

    [Theory, AllTransports]
    public async Task Accept_TwoAtOnce_EachGetsAConnection(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        Task<ConnectionContext?> first = listener.AcceptAsync().AsTask();
        Task<ConnectionContext?> second = listener.AcceptAsync().AsTask();

        using Socket a = await Net.ConnectAsync(listener.EndPoint);
        using Socket b = await Net.ConnectAsync(listener.EndPoint);

        await using ConnectionContext? one = await first.OrTimeout();
        await using ConnectionContext? two = await second.OrTimeout();
        Assert.Equal(
            new[] { a.LocalEndPoint!.ToString(), b.LocalEndPoint!.ToString() }.Order(StringComparer.Ordinal),
            new[] { one!.RemoteEndPoint!.ToString(), two!.RemoteEndPoint!.ToString() }.Order(StringComparer.Ordinal));
    }

    [Theory, AllTransports]
    public async Task Accept_ConnectionResetInTheQueue_IsGivenAndItsReadFails(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        Socket client = await Net.ConnectAsync(listener.EndPoint);
        string local = client.LocalEndPoint!.ToString()!;
        client.Reset();

        await using ConnectionContext server = await BindTests.AcceptAsync(listener);

        Assert.Equal(local, server.RemoteEndPoint!.ToString());
        await Assert.ThrowsAsync<ConnectionResetException>(() => server.Transport.Input.ReadAsync().OrTimeout());
        await BindTests.AssertEchoAsync(listener, listener.EndPoint);
    }

    [Theory, AllTransports]
    public async Task Accept_DataSentBeforeIt_IsReadWithoutMoreToCome(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        using Socket client = await Net.ConnectAsync(listener.EndPoint);
        await client.SendAsync("early");

        await using ConnectionContext server = await BindTests.AcceptAsync(listener);

        Assert.Equal("early", await server.Transport.Input.ReadTextAsync(5));
    }

    [Theory, AllTransports]
    public async Task Accept_ManyQuickConnections_AllAreGivenOnce(TransportKind kind)
    {
        const int Count = 500;
        await using var transport = new Transport(kind, s => s.Backlog = 1024);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        var clients = new List<Socket>();
        var servers = new List<ConnectionContext>();

        // All connect before the first is taken: a bounded accept queue must leave the rest to the kernel.
        for (int i = 0; i < Count; i++)
        {
            clients.Add(await Net.ConnectAsync(listener.EndPoint));
        }

        for (int i = 0; i < Count; i++)
        {
            servers.Add(await BindTests.AcceptAsync(listener));
        }

        Assert.Equal(
            clients.Select(c => c.LocalEndPoint!.ToString()).Order(StringComparer.Ordinal),
            servers.Select(s => s.RemoteEndPoint!.ToString()).Order(StringComparer.Ordinal));
        clients.ForEach(c => c.Dispose());
        foreach (ConnectionContext server in servers)
        {
            await server.DisposeAsync().OrTimeout();
        }
    }

    [Theory, AllTransports]
    public async Task Dispose_ConnectionsNobodyTook_AreClosedForTheirClients(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        using Socket client = await Net.ConnectAsync(listener.EndPoint);

        await listener.DisposeAsync().OrTimeout();
        Assert.Null(await listener.AcceptAsync().OrTimeout());

        // The kernel resets what is in its queue; what was taken from there may as well end cleanly.
        try
        {
            Assert.Empty(await client.ReceiveToEndAsync());
        }
        catch (SocketException error)
        {
            Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
        }
    }

    [Theory, AllTransports]
    public async Task Connection_ListenerUnboundAndDisposed_GoesOn(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await AssertExchangeAsync(pair);

        await pair.Listener.UnbindAsync().OrTimeout();
        await AssertExchangeAsync(pair);

        await pair.Listener.DisposeAsync().OrTimeout();
        await AssertExchangeAsync(pair);

        pair.Client.Shutdown(SocketShutdown.Send);
        Assert.Empty(await pair.Input.ReadToEndAsync());
        await pair.AssertServerLoggedAsync(6, 7);
    }

    [Theory, AllTransports]
    public async Task Unbind_DuringAStormOfConnects_EndsAcceptAndThrowsNothing(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        var taken = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task accepting = Task.Run(async () =>
        {
            while (await listener.AcceptAsync() is { } connection)
            {
                taken.TrySetResult();
                await connection.DisposeAsync();
            }
        });
        Task connecting = Task.Run(async () =>
        {
            while (true)
            {
                try
                {
                    using Socket client = await Net.ConnectAsync(listener.EndPoint);
                }
                catch (SocketException)
                {
                    return;
                }
            }
        });
        await taken.Task.OrTimeout();

        await listener.UnbindAsync().OrTimeout();

        await accepting.OrTimeout();
        await connecting.OrTimeout();
        Assert.DoesNotContain(transport.Logs.Of(kind), e => e.Level > Microsoft.Extensions.Logging.LogLevel.Debug);
    }

    private static async Task AssertExchangeAsync(ConnectionPair pair)
    {
        await pair.Client.SendAsync("ping");
        Assert.Equal("ping", await pair.Input.ReadTextAsync(4));
        await pair.Output.WriteTextAsync("pong");
        Assert.Equal("pong", await pair.Client.ReceiveTextAsync(4));
    }
}
