using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>From a socket that one has to a connection on the loops.</summary>
public class EpollConnectionContextFactoryTests
{
    private const string Why = "what is refused, and when ownership passes, is ours";

    [Theory, AllTransports(true), AllTransports(false)]
    public async Task Create_OverEitherEnd_CarriesBytesBothWays(TransportKind kind, bool accepted)
    {
        (Socket connected, Socket taken) = await CreatePairAsync();
        (Socket given, Socket peer) = accepted ? (taken, connected) : (connected, taken);
        var remote = given.RemoteEndPoint;
        using IDisposable factory = CreateFactory(kind, out Func<Socket, ConnectionContext> create);

        await using ConnectionContext connection = create(given);

        Assert.Equal(remote, connection.RemoteEndPoint);
        await EpollConnectionFactoryTests.AssertExchangeAsync(connection, peer);
        peer.Shutdown(SocketShutdown.Send);
        Assert.Empty(await connection.Transport.Input.ReadToEndAsync());
        await connection.DisposeAsync().OrTimeout();
        Assert.Empty(await peer.ReceiveToEndAsync());
        peer.Dispose();
    }

    [Theory, AllTransports]
    public async Task Create_ConnectionDisposed_TheSocketIsGoneToo(TransportKind kind)
    {
        (Socket given, Socket peer) = await CreatePairAsync();
        using IDisposable factory = CreateFactory(kind, out Func<Socket, ConnectionContext> create);
        ConnectionContext connection = create(given);

        await connection.DisposeAsync().OrTimeout();

        Assert.Throws<ObjectDisposedException>(() => given.Send("x"u8));
        Assert.Empty(await peer.ReceiveToEndAsync());
        peer.Dispose();
    }

    [Theory, AllTransports]
    public async Task Create_OfAnAbortedConnection_ResetsThePeer(TransportKind kind)
    {
        (Socket given, Socket peer) = await CreatePairAsync();
        using IDisposable factory = CreateFactory(kind, out Func<Socket, ConnectionContext> create);
        await using ConnectionContext connection = create(given);

        connection.Abort();

        await peer.AssertResetAsync();
        peer.Dispose();
    }

    [Theory, EpollTransports(Why)]
    public void Create_NotAConnectedStream_IsRefused(TransportKind kind)
    {
        using var factory = kind.CreateContextFactory(EpollConnectionFactoryTests.OptionsOf(kind), new LogRecorder());
        using var unconnected = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        using var datagram = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);

        Assert.Throws<ArgumentNullException>(() => factory.Create(null!));
        Assert.ThrowsAny<ArgumentException>(() => factory.Create(unconnected));
        Assert.ThrowsAny<ArgumentException>(() => factory.Create(datagram));

        // What was refused stays the caller's.
        unconnected.Bind(Net.AnyLoopbackPort);
        datagram.Bind(Net.AnyLoopbackPort);
    }

    [Theory, EpollTransports(Why)]
    public async Task Create_DisposedSocketOrFactory_ThrowsObjectDisposed(TransportKind kind)
    {
        (Socket given, Socket peer) = await CreatePairAsync();
        var factory = kind.CreateContextFactory(EpollConnectionFactoryTests.OptionsOf(kind), new LogRecorder());
        peer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => factory.Create(peer));

        factory.Dispose();
        factory.Dispose();

        Assert.Throws<ObjectDisposedException>(() => factory.Create(given));
        given.Dispose();
    }

    private static IDisposable CreateFactory(TransportKind kind, out Func<Socket, ConnectionContext> create)
    {
        if (kind.IsOurs())
        {
            var ours = kind.CreateContextFactory(EpollConnectionFactoryTests.OptionsOf(kind), new LogRecorder());
            create = ours.Create;
            return ours;
        }

        var sockets = new SocketConnectionContextFactory(new SocketConnectionFactoryOptions(), new LogRecorder().CreateLogger(kind.LogCategory()));
        create = sockets.Create;
        return sockets;
    }

    private static async Task<(Socket Connected, Socket Accepted)> CreatePairAsync()
    {
        using Socket listener = EpollConnectionFactoryTests.Listen(Net.AnyLoopbackPort);
        Socket connected = await Net.ConnectAsync(listener.LocalEndPoint!);
        return (connected, await listener.AcceptAsync().OrTimeout());
    }
}
