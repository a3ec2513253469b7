using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The client side. Sockets keeps its own internal, so these run on ours only.</summary>
public class EpollConnectionFactoryTests
{
    private const string Why = "the client side of Sockets is internal";

    [Theory, EpollTransports(Why, "127.0.0.1"), EpollTransports(Why, "::1")]
    public async Task Connect_Tcp_CarriesBytesBothWays(TransportKind kind, string address)
    {
        using var listener = Listen(new IPEndPoint(IPAddress.Parse(address), 0));
        using EpollConnectionFactory factory = Create(kind);

        await using ConnectionContext connection = await factory.ConnectAsync(listener.LocalEndPoint!).OrTimeout();
        using Socket peer = await listener.AcceptAsync().OrTimeout();

        Assert.Equal(peer.LocalEndPoint, connection.RemoteEndPoint);
        Assert.Equal(peer.RemoteEndPoint, connection.LocalEndPoint);
        await AssertExchangeAsync(connection, peer);
    }

    [Theory, EpollTransports(Why)]
    public async Task Connect_UnixPath_CarriesBytesBothWays(TransportKind kind)
    {
        var endpoint = new UnixDomainSocketEndPoint(Net.NewUnixPath());
        using var listener = Listen(endpoint);
        using EpollConnectionFactory factory = Create(kind);

        await using ConnectionContext connection = await factory.ConnectAsync(endpoint).OrTimeout();
        using Socket peer = await listener.AcceptAsync().OrTimeout();

        Assert.Equal(endpoint.ToString(), connection.RemoteEndPoint!.ToString());
        await AssertExchangeAsync(connection, peer);
    }

    [Theory, EpollTransports(Why)]
    public async Task Connect_ManyAtOnce_AllCarryTheirOwnBytes(TransportKind kind)
    {
        using var listener = Listen(Net.AnyLoopbackPort);
        using EpollConnectionFactory factory = Create(kind);
        Task<ConnectionContext>[] connecting = [.. Enumerable.Range(0, 100).Select(_ => factory.ConnectAsync(listener.LocalEndPoint!).AsTask())];

        for (int i = 0; i < connecting.Length; i++)
        {
            using Socket peer = await listener.AcceptAsync().OrTimeout();
            ConnectionContext connection = (await Task.WhenAll(connecting).OrTimeout()).Single(c => c.LocalEndPoint!.Equals(peer.RemoteEndPoint));
            await AssertExchangeAsync(connection, peer);
            await connection.DisposeAsync().OrTimeout();
        }
    }

    [Theory, EpollTransports(Why)]
    public async Task Connect_Refused_ThrowsConnectionRefused(TransportKind kind)
    {
        IPEndPoint nobody;
        using (Socket listener = Listen(Net.AnyLoopbackPort))
        {
            nobody = (IPEndPoint)listener.LocalEndPoint!;
        }

        using EpollConnectionFactory factory = Create(kind);

        SocketException error = await Assert.ThrowsAsync<SocketException>(() => factory.ConnectAsync(nobody).OrTimeout());
        Assert.Equal(SocketError.ConnectionRefused, error.SocketErrorCode);
    }

    [Theory, EpollTransports(Why)]
    public async Task Connect_UnixPathMissing_ThrowsAddressNotAvailable(TransportKind kind)
    {
        using EpollConnectionFactory factory = Create(kind);

        SocketException error = await Assert.ThrowsAsync<SocketException>(
            () => factory.ConnectAsync(new UnixDomainSocketEndPoint(Net.NewUnixPath())).OrTimeout());
        Assert.Equal(SocketError.AddressNotAvailable, error.SocketErrorCode);
    }

    [Theory, EpollTransports(Why)]
    public async Task Connect_UnknownEndPoint_ThrowsNotSupported(TransportKind kind)
    {
        using EpollConnectionFactory factory = Create(kind);

        await Assert.ThrowsAsync<NotSupportedException>(async () => await factory.ConnectAsync(new UriEndPoint(new Uri("http://x"))).OrTimeout());
        await Assert.ThrowsAsync<ArgumentNullException>(async () => await factory.ConnectAsync(null!).OrTimeout());
    }

    [Theory, EpollTransports(Why)]
    public async Task Connect_CancelledBefore_Throws(TransportKind kind)
    {
        using var listener = Listen(Net.AnyLoopbackPort);
        using EpollConnectionFactory factory = Create(kind);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            async () => await factory.ConnectAsync(listener.LocalEndPoint!, new CancellationToken(canceled: true)).OrTimeout());
    }

    [Theory, EpollTransports(Why)]
    public async Task Connect_CancelledDuring_ThrowsAndLeaksNothing(TransportKind kind)
    {
        // A full queue: the kernel leaves further connects to loopback waiting for ever. One connection fills a backlog
        // of 0; the others stand in line before ours, should the kernel be generous.
        using var listener = Listen(Net.AnyLoopbackPort, backlog: 0);
        Socket[] fillers = [.. Enumerable.Range(0, 10).Select(_ => Net.CreateClient(listener.LocalEndPoint!))];
        await fillers[0].ConnectAsync(listener.LocalEndPoint!).OrTimeout();
        Task[] connecting = [.. fillers[1..].Select(filler => filler.ConnectAsync(listener.LocalEndPoint!))];
        using EpollConnectionFactory factory = Create(kind);
        using var cancel = new CancellationTokenSource();
        Task<ConnectionContext> connect = factory.ConnectAsync(listener.LocalEndPoint!, cancel.Token).AsTask();
        Assert.False(connect.IsCompleted);

        await cancel.CancelAsync();

        var error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connect.OrTimeout());
        Assert.Equal(cancel.Token, error.CancellationToken);
        Array.ForEach(fillers, filler => filler.Dispose());
        await Task.WhenAll(connecting).ContinueWith(_ => { }, TaskScheduler.Default).OrTimeout();
    }

    [Theory, EpollTransports(Why)]
    public async Task Connection_PeerResets_LogsToTheClientCategory(TransportKind kind)
    {
        var logs = new LogRecorder();
        using var listener = Listen(Net.AnyLoopbackPort);
        using EpollConnectionFactory factory = Create(kind, logs);
        await using ConnectionContext connection = await factory.ConnectAsync(listener.LocalEndPoint!).OrTimeout();
        (await listener.AcceptAsync().OrTimeout()).Reset();

        await Assert.ThrowsAsync<ConnectionResetException>(() => connection.Transport.Input.ReadAsync().OrTimeout());

        await connection.DisposeAsync().OrTimeout();
        Assert.Contains(logs.All(), e => e.Category == "KestrelEpollTransport.Client" && e.Id == 19);
        Assert.Empty(logs.Of(kind));
    }

    [Theory, EpollTransports(Why)]
    public async Task Connect_FactoryDisposed_ThrowsObjectDisposed(TransportKind kind)
    {
        using var listener = Listen(Net.AnyLoopbackPort);
        EpollConnectionFactory factory = Create(kind);
        factory.Dispose();
        factory.Dispose();

        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await factory.ConnectAsync(listener.LocalEndPoint!).OrTimeout());
    }

    [Theory, EpollTransports(Why, true), EpollTransports(Why, false)]
    public async Task Connect_WithAFullBacklog_FactoryDisposed_ThrowsObjectDisposed(TransportKind kind, bool isUnix)
    {
        System.Net.EndPoint endPoint = isUnix ? Net.NewAbstractEndPoint() : Net.AnyLoopbackPort;
        using Socket listener = Listen(endPoint, backlog: 0);
        EpollConnectionFactory factory = Create(kind);
        var connecting = new List<Task<ConnectionContext>>();
        for (int i = 0; i < 10; i++)
        {
            connecting.Add(factory.ConnectAsync(listener.LocalEndPoint!).AsTask());
        }

        Task<ConnectionContext>[] waiting = [.. connecting.Skip(5)];
        Assert.DoesNotContain(waiting, connect => connect.IsCompleted);

        factory.Dispose();

        foreach (Task<ConnectionContext> connect in waiting)
        {
            await Assert.ThrowsAsync<ObjectDisposedException>(() => connect.OrTimeout());
        }

        foreach (Task<ConnectionContext> connect in connecting.Except(waiting))
        {
            await connect.ContinueWith(static _ => { }, TaskScheduler.Default).OrTimeout();
        }
    }

    internal static Socket Listen(EndPoint endpoint, int backlog = 512)
    {
        Socket listener = Net.CreateClient(endpoint);
        listener.Bind(endpoint);
        listener.Listen(backlog);
        return listener;
    }

    internal static async Task AssertExchangeAsync(ConnectionContext connection, Socket peer)
    {
        byte[] data = Net.Pattern(100_000);
        Task write = connection.Transport.Output.WriteAsync(data).AsTask();
        Net.AssertSame(data, await peer.ReceiveExactlyAsync(data.Length));
        await write.OrTimeout();
        Task send = peer.SendAllAsync(data);
        Net.AssertSame(data, await connection.Transport.Input.ReadExactlyAsync(data.Length));
        await send.OrTimeout();
    }

    internal static IOptions<EpollTransportOptions> OptionsOf(TransportKind kind)
    {
        var options = new EpollTransportOptions();
        new TransportSettings().ApplyTo(options, kind);
        return Options.Create(options);
    }

    private static EpollConnectionFactory Create(TransportKind kind, LogRecorder? logs = null) =>
        kind.CreateConnectionFactory(OptionsOf(kind), logs ?? new LogRecorder());
}
