using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Binding of IP endpoints, and what is refused.</summary>
public class BindTests
{
    [Theory, AllTransports("127.0.0.1"), AllTransports("0.0.0.0"), AllTransports("::1"), AllTransports("::")]
    public async Task Bind_PortZero_ShowsTheRealPort(TransportKind kind, string address)
    {
        await using var transport = new Transport(kind);

        IConnectionListener listener = await transport.BindAsync(new IPEndPoint(IPAddress.Parse(address), 0));

        IPEndPoint bound = Assert.IsType<IPEndPoint>(listener.EndPoint);
        Assert.Equal(IPAddress.Parse(address), bound.Address);
        Assert.NotEqual(0, bound.Port);
        IPAddress target = bound.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Loopback : IPAddress.IPv6Loopback;
        await AssertEchoAsync(listener, new IPEndPoint(target, bound.Port));
    }

    [Theory, AllTransports]
    public async Task Bind_IPv6Any_AcceptsIPv4AndShowsMappedAddresses(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(new IPEndPoint(IPAddress.IPv6Any, 0));
        int port = ((IPEndPoint)listener.EndPoint).Port;

        using Socket client = await Net.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port));
        await using ConnectionContext server = await AcceptAsync(listener);

        Assert.Equal(new IPEndPoint(IPAddress.Loopback.MapToIPv6(), port), server.LocalEndPoint);
        Assert.Equal(
            new IPEndPoint(IPAddress.Loopback.MapToIPv6(), ((IPEndPoint)client.LocalEndPoint!).Port), server.RemoteEndPoint);
    }

    [Theory, AllTransports]
    public async Task Bind_IPv6Loopback_IsNotDualMode(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(new IPEndPoint(IPAddress.IPv6Loopback, 0));
        int port = ((IPEndPoint)listener.EndPoint).Port;

        SocketException error = await Assert.ThrowsAsync<SocketException>(() => Net.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port)));
        Assert.Equal(SocketError.ConnectionRefused, error.SocketErrorCode);
    }

    [Theory, AllTransports("127.0.0.1"), AllTransports("0.0.0.0"), AllTransports("::")]
    public async Task Bind_PortInUse_ThrowsAddressInUse(TransportKind kind, string address)
    {
        await using var transport = new Transport(kind);
        IConnectionListener first = await transport.BindAsync(Net.AnyLoopbackPort);
        var second = new IPEndPoint(IPAddress.Parse(address), ((IPEndPoint)first.EndPoint).Port);

        AddressInUseException error = await Assert.ThrowsAsync<AddressInUseException>(() => transport.BindAsync(second));
        Assert.Equal(SocketError.AddressAlreadyInUse, Assert.IsType<SocketException>(error.InnerException).SocketErrorCode);
        Assert.Equal(error.InnerException.Message, error.Message);

        await AssertEchoAsync(first, first.EndPoint);
    }

    [Theory, AllTransports]
    public async Task Bind_PortOfAnUnboundListener_WorksAgain(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener first = await transport.BindAsync(Net.AnyLoopbackPort);
        using Socket client = await Net.ConnectAsync(first.EndPoint);
        await using ConnectionContext server = await AcceptAsync(first);
        await first.UnbindAsync().OrTimeout();

        // With a connection still alive on the port: this is what SO_REUSEADDR is set for.
        IConnectionListener second = await transport.BindAsync(first.EndPoint);

        await AssertEchoAsync(second, second.EndPoint);
    }

    [Theory, AllTransports]
    public async Task Bind_AddressNotOnTheHost_ThrowsRawSocketException(TransportKind kind)
    {
        await using var transport = new Transport(kind);

        SocketException error = await Assert.ThrowsAsync<SocketException>(
            () => transport.BindAsync(new IPEndPoint(IPAddress.Parse("192.0.2.1"), 0)));
        Assert.Equal(SocketError.AddressNotAvailable, error.SocketErrorCode);
    }

    [Theory, AllTransports]
    public async Task Bind_DnsEndPoint_ThrowsSocketException(TransportKind kind)
    {
        await using var transport = new Transport(kind);

        SocketException error = await Assert.ThrowsAsync<SocketException>(() => transport.BindAsync(new DnsEndPoint("localhost", 0)));

        Assert.Equal(SocketError.ProtocolNotSupported, error.SocketErrorCode);
        if (kind.IsOurs())
        {
            Assert.Contains("'localhost:0' is a name", error.Message, StringComparison.Ordinal);
            Assert.Contains("bind an IPEndPoint", error.Message, StringComparison.Ordinal);
        }
    }

    [Theory, AllTransports]
    public async Task CanBind_EveryKindOfEndPoint_IsAsOnSockets(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        var selector = Assert.IsAssignableFrom<IConnectionListenerFactorySelector>(transport.Factory);

        Assert.True(selector.CanBind(Net.AnyLoopbackPort));
        Assert.True(selector.CanBind(new IPEndPoint(IPAddress.IPv6Any, 0)));
        Assert.True(selector.CanBind(Net.NewAbstractEndPoint()));
        Assert.True(selector.CanBind(new UnixDomainSocketEndPoint(Net.NewUnixPath())));
        Assert.True(selector.CanBind(new FileHandleEndPoint(3, FileHandleType.Auto)));
        Assert.True(selector.CanBind(new FileHandleEndPoint(3, FileHandleType.Tcp)));
        Assert.True(selector.CanBind(new FileHandleEndPoint(3, FileHandleType.Pipe)));
        Assert.False(selector.CanBind(new DnsEndPoint("localhost", 0)));
        Assert.False(selector.CanBind(new NamedPipeEndPoint("pipe")));
        Assert.False(selector.CanBind(new UriEndPoint(new Uri("http://localhost"))));
    }

    [Theory, AllTransports]
    public async Task CreateBoundListenSocket_Custom_IsUsed(TransportKind kind)
    {
        EndPoint? asked = null;
        Socket? made = null;
        await using var transport = new Transport(kind, s => s.CreateBoundListenSocket = endpoint =>
        {
            asked = endpoint;
            made = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            made.Bind(Net.AnyLoopbackPort);
            return made;
        });
        EndPoint wanted = new IPEndPoint(IPAddress.Parse("192.0.2.1"), 80);

        IConnectionListener listener = await transport.BindAsync(wanted);

        Assert.Same(wanted, asked);
        Assert.NotNull(made);
        Assert.Equal(made.LocalEndPoint, listener.EndPoint);
        await AssertEchoAsync(listener, listener.EndPoint);
    }

    [Theory, AllTransports]
    public async Task CreateBoundListenSocket_Throws_ExceptionIsTheCallers(TransportKind kind)
    {
        await using var transport = new Transport(kind, s => s.CreateBoundListenSocket = _ => throw new InvalidTimeZoneException("mine"));

        await Assert.ThrowsAsync<InvalidTimeZoneException>(() => transport.BindAsync(Net.AnyLoopbackPort));
    }

    [Theory, AllTransports]
    public async Task Backlog_Set_IsWhatListenGets(TransportKind kind)
    {
        // Counting clients would not show it: who accepts ahead of AcceptAsync, as ours does, queues more.
        Socket? made = null;
        await using var transport = new Transport(kind, s =>
        {
            s.Backlog = 7;
            s.CreateBoundListenSocket = endpoint =>
            {
                made = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                made.Bind(endpoint);
                return made;
            };
        });
        await transport.BindAsync(Net.AnyLoopbackPort);

        Assert.Equal(7, Libc.GetBacklog(made!));
    }

    [Theory, AllTransports(true), AllTransports(false)]
    public async Task AcceptedSocket_OfTcp_HasTheOptionsOfSockets(TransportKind kind, bool noDelay)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.NoDelay = noDelay);
        Socket socket = pair.Server.Features.Get<Microsoft.AspNetCore.Connections.Features.IConnectionSocketFeature>()!.Socket;

        Assert.Equal(noDelay, socket.NoDelay);
        Assert.Equal(0, socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive));
        Assert.False(socket.LingerState!.Enabled);
        Assert.True(Libc.IsCloseOnExec(socket.Handle));
    }

    internal static async Task<ConnectionContext> AcceptAsync(IConnectionListener listener)
    {
        ConnectionContext? server = await listener.AcceptAsync().OrTimeout();
        Assert.NotNull(server);
        return server;
    }

    internal static async Task AssertEchoAsync(IConnectionListener listener, EndPoint target)
    {
        using Socket client = await Net.ConnectAsync(target);
        await using ConnectionContext server = await AcceptAsync(listener);
        await client.SendAsync("ping");
        Assert.Equal("ping", await server.Transport.Input.ReadTextAsync(4));
        await server.Transport.Output.WriteTextAsync("pong");
        Assert.Equal("pong", await client.ReceiveTextAsync(4));
    }
}
