using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>One accepted connection and the plain client socket at its other end.</summary>
internal sealed class ConnectionPair : IAsyncDisposable
{
    /// <summary>How the reason of a close without an error ends, after the transport's name.</summary>
    public const string GracefulReason = "send loop completed gracefully.";

    private readonly Transport _transport;
    private readonly bool _ownsTransport;

    private ConnectionPair(Transport transport, bool ownsTransport, IConnectionListener listener, ConnectionContext server, Socket client)
    {
        _transport = transport;
        _ownsTransport = ownsTransport;
        Listener = listener;
        Server = server;
        Client = client;

        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        server.ConnectionClosed.Register(closed.SetResult);
        Closed = closed.Task;
    }

    public IConnectionListener Listener { get; }

    public ConnectionContext Server { get; }

    public Socket Client { get; }

    public PipeReader Input => Server.Transport.Input;

    public PipeWriter Output => Server.Transport.Output;

    /// <summary>Completes when ConnectionClosed fires.</summary>
    public Task Closed { get; }

    public LogRecorder Logs => _transport.Logs;

    public TransportKind Kind => _transport.Kind;

    /// <param name="kind">The transport of the server's end.</param>
    /// <param name="configure">Options other than the defaults.</param>
    /// <param name="endpoint">Where to listen; loopback, any port, when null.</param>
    /// <param name="slowClient">
    /// Fixes the client's receive buffer (before connect, so that the kernel does not tune it), which bounds
    /// what the kernel can take on behalf of a client that does not read.
    /// </param>
    public static async Task<ConnectionPair> CreateAsync(
        TransportKind kind, Action<TransportSettings>? configure = null, EndPoint? endpoint = null, bool slowClient = false)
    {
        var transport = new Transport(kind, configure);
        IConnectionListener listener = await transport.BindAsync(endpoint ?? Net.AnyLoopbackPort);
        return await CreateAsync(transport, ownsTransport: true, listener, slowClient);
    }

    /// <summary>Another connection of the same transport and listener, to be disposed before this one.</summary>
    public Task<ConnectionPair> CreateAnotherAsync() => CreateAsync(_transport, ownsTransport: false, Listener, slowClient: false);

    /// <summary>Disposes the server's end and returns the ids of all it logged, in order.</summary>
    public async Task<int[]> DisposeServerAsync()
    {
        await Server.DisposeAsync().OrTimeout();
        return Logs.Ids(Kind);
    }

    /// <summary>Disposes the server's end; all it has logged must then be these ids, in order.</summary>
    public async Task AssertServerLoggedAsync(params int[] ids) => Assert.Equal(ids, await DisposeServerAsync());

    public async Task AssertReadFailsGracefullyAsync()
    {
        ConnectionAbortedException error = await Assert.ThrowsAsync<ConnectionAbortedException>(() => Input.ReadAsync().OrTimeout());
        Assert.EndsWith(GracefulReason, error.Message, StringComparison.Ordinal);
    }

    public async ValueTask DisposeAsync()
    {
        // The client first: a disposal of the server's end waits until all it has written is sent.
        Client.Dispose();
        await Server.DisposeAsync().OrTimeout();
        if (_ownsTransport)
        {
            await _transport.DisposeAsync();
        }
    }

    private static async Task<ConnectionPair> CreateAsync(Transport transport, bool ownsTransport, IConnectionListener listener, bool slowClient)
    {
        Socket client = Net.CreateClient(listener.EndPoint);
        if (slowClient)
        {
            client.ReceiveBufferSize = 64 * 1024;
        }

        await client.ConnectAsync(listener.EndPoint).OrTimeout();
        ConnectionContext? server = await listener.AcceptAsync().OrTimeout();
        Assert.NotNull(server);
        return new ConnectionPair(transport, ownsTransport, listener, server, client);
    }
}
