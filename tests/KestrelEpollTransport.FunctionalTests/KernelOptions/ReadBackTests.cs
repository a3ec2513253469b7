using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests.KernelOptions;

/// <summary>Each option, read back from the kernel: on the socket that listens, on accepted ones, and on those that connect.</summary>
public class ReadBackTests
{
    private const string MayNeedAdministrator = nameof(EpollSocketOptions.Transparent) + nameof(EpollSocketOptions.BusyPoll);

    // Property, value, level, number, and what the kernel then says: on the listening socket, on an accepted one, on one that connected; -1: not looked at.
    public static TheoryData<string, object, int, int, int, int, int> Options => new()
    {
        { nameof(EpollSocketOptions.KeepAlive), true, RawOption.Socket, 9, 1, 1, 1 },
        { nameof(EpollSocketOptions.KeepAliveTime), TimeSpan.FromSeconds(33), RawOption.Tcp, 4, 33, 33, 33 },
        { nameof(EpollSocketOptions.KeepAliveInterval), TimeSpan.FromSeconds(7), RawOption.Tcp, 5, 7, 7, 7 },
        { nameof(EpollSocketOptions.KeepAliveRetryCount), 4, RawOption.Tcp, 6, 4, 4, 4 },
        { nameof(EpollSocketOptions.UserTimeout), TimeSpan.FromMilliseconds(12_345), RawOption.Tcp, 18, 12_345, 12_345, 12_345 },
        { nameof(EpollSocketOptions.NotSentLowWatermark), 16_384, RawOption.Tcp, 25, 16_384, 16_384, 16_384 },
        { nameof(EpollSocketOptions.FastOpenQueueLength), 64, RawOption.Tcp, 23, 64, 0, 0 },
        // The third of the handshake's times: 1 + 2 + 4 s.
        { nameof(EpollSocketOptions.DeferAccept), TimeSpan.FromSeconds(5), RawOption.Tcp, 9, 7, 0, 0 },
        // A socket that listens has no acknowledgements to delay. One that connected has sent or received by the time it is looked at.
        { nameof(EpollSocketOptions.QuickAck), false, RawOption.Tcp, 12, -1, 0, -1 },
        // The kernel doubles both.
        { nameof(EpollSocketOptions.SendBufferSize), 50_000, RawOption.Socket, 7, 100_000, 100_000, 100_000 },
        { nameof(EpollSocketOptions.ReceiveBufferSize), 60_000, RawOption.Socket, 8, 120_000, 120_000, 120_000 },
        { nameof(EpollSocketOptions.ReusePort), true, RawOption.Socket, 15, 1, 1, 0 },
        { nameof(EpollSocketOptions.FreeBind), true, RawOption.Ip, 15, 1, 1, 0 },
        { nameof(EpollSocketOptions.Transparent), true, RawOption.Ip, 19, 1, 1, 0 },
        { nameof(EpollSocketOptions.BusyPoll), TimeSpan.FromMicroseconds(50), RawOption.Socket, 46, 50, 50, 50 },
        { nameof(EpollSocketOptions.Dscp), 46, RawOption.Ip, 1, 46 << 2, 46 << 2, 46 << 2 },
    };

    [Theory]
    [MemberData(nameof(Options))]
    public async Task Option_OfTcp_IsWhatTheKernelSays(string property, object value, int level, int number, int listening, int accepted, int connected)
    {
        bool isRefused = MayNeedAdministrator.Contains(property, StringComparison.Ordinal) && !RawOption.MaySet(level, number, listening);
        EpollTransportOptions options = new() { LoopCount = 1 };
        typeof(EpollSocketOptions).GetProperty(property)!.SetValue(options.Sockets, value);
        if (isRefused)
        {
            await AssertRefusedAsync(options, property, SocketError.AccessDenied);
            return;
        }

        // The transport's own function is the one that counts. That of the option shows the listening socket.
        await using Served own = await Served.StartAsync(options, Net.AnyLoopbackPort, speaks: true);
        Socket? shown = null;
        options.CreateBoundListenSocket = endpoint => shown = options.Sockets.CreateBoundListenSocket(endpoint);
        await using Served replaced = await Served.StartAsync(options, Net.AnyLoopbackPort, speaks: true);

        Assert.Equal(accepted, RawOption.Get(own.Socket, level, number));
        Assert.Equal(accepted, RawOption.Get(replaced.Socket, level, number));
        Assert.NotNull(shown);
        AssertSays(listening, shown, level, number);

        using Socket target = Listen();
        await using ConnectionContext client = await own.Clients.ConnectAsync(target.LocalEndPoint!).OrTimeout();
        AssertSays(connected, client.Features.Get<IConnectionSocketFeature>()!.Socket, level, number);
    }

    [Fact]
    public async Task CongestionControl_OfTcp_IsWhatTheKernelSays()
    {
        EpollTransportOptions options = new() { LoopCount = 1, Sockets = { CongestionControl = "reno" } };
        Socket? shown = null;
        options.CreateBoundListenSocket = endpoint => shown = EpollTransportOptions.CreateDefaultBoundListenSocket(endpoint);

        await using Served served = await Served.StartAsync(options, Net.AnyLoopbackPort);

        Assert.Equal("reno", RawOption.GetText(shown!, RawOption.Tcp, RawOption.Congestion));
        Assert.Equal("reno", RawOption.GetText(served.Socket, RawOption.Tcp, RawOption.Congestion));
        using Socket target = Listen();
        await using ConnectionContext client = await served.Clients.ConnectAsync(target.LocalEndPoint!).OrTimeout();
        Assert.Equal("reno", RawOption.GetText(client.Features.Get<IConnectionSocketFeature>()!.Socket, RawOption.Tcp, RawOption.Congestion));
    }

    [Theory]
    [InlineData("127.0.0.1", false)]
    [InlineData("::1", true)]
    public async Task Dscp_OfASocketForBothFamilies_IsSetForEach(string clientAddress, bool isIPv6)
    {
        EpollTransportOptions options = new() { LoopCount = 1, Sockets = { Dscp = 10 } };

        await using Served served = await Served.StartAsync(options, new IPEndPoint(IPAddress.IPv6Any, 0), IPAddress.Parse(clientAddress));

        Assert.Equal(isIPv6, !((IPEndPoint)served.Connection.RemoteEndPoint!).Address.IsIPv4MappedToIPv6);
        Assert.Equal(10 << 2, RawOption.Get(served.Socket, RawOption.Ip, 1));
        Assert.Equal(10 << 2, RawOption.Get(served.Socket, RawOption.Ipv6, 67));
    }

    /// <remarks>262 is IPPROTO_MPTCP. What the kernel does not pass on from a socket of that protocol is set on each connection.</remarks>
    [Theory]
    [InlineData(true, 262)]
    [InlineData(false, (int)ProtocolType.Tcp)]
    public async Task Multipath_ServesBothKindsOfClients(bool clientHasIt, int protocol)
    {
        EpollTransportOptions options = new() { LoopCount = 1, Sockets = { Multipath = true, NotSentLowWatermark = 32_768, KeepAlive = true, SendBufferSize = 70_000 } };
        Socket? shown = null;
        await using Served own = await Served.StartAsync(options, Net.AnyLoopbackPort, multipath: clientHasIt);
        options.CreateBoundListenSocket = endpoint => shown = options.Sockets.CreateBoundListenSocket(endpoint);
        await using Served served = await Served.StartAsync(options, Net.AnyLoopbackPort, multipath: clientHasIt);

        Assert.Equal(262, RawOption.Get(shown!, RawOption.Socket, RawOption.SoProtocol));
        Assert.Equal(1, RawOption.Get(shown!, RawOption.Socket, 2));
        foreach (Served each in new[] { own, served })
        {
            Assert.Equal(protocol, RawOption.Get(each.Socket, RawOption.Socket, RawOption.SoProtocol));
            Assert.Equal(32_768, RawOption.Get(each.Socket, RawOption.Tcp, 25));
            Assert.Equal(1, RawOption.Get(each.Socket, RawOption.Socket, 9));
            Assert.Equal(140_000, RawOption.Get(each.Socket, RawOption.Socket, 7));
            await each.Client.SendAsync("ping");
            Assert.Equal("ping", await each.Connection.Transport.Input.ReadTextAsync(4));
            await each.Connection.Transport.Output.WriteTextAsync("pong");
            Assert.Equal("pong", await each.Client.ReceiveTextAsync(4));
        }
    }

    [Fact]
    public async Task Multipath_OnASocketForBothFamilies_ServesIPv4()
    {
        EpollTransportOptions options = new() { LoopCount = 1, Sockets = { Multipath = true } };

        await using Served served = await Served.StartAsync(options, new IPEndPoint(IPAddress.IPv6Any, 0), IPAddress.Loopback);

        await served.Client.SendAsync("ping");
        Assert.Equal("ping", await served.Connection.Transport.Input.ReadTextAsync(4));
        Assert.True(((IPEndPoint)served.Connection.RemoteEndPoint!).Address.IsIPv4MappedToIPv6);
    }

    /// <remarks>33,280 is the least on a unix socket: a send of the transport's has to be one message of the kernel's.</remarks>
    [Theory]
    [InlineData(false, 45_000, 90_000)]
    [InlineData(true, 45_000, 90_000)]
    [InlineData(false, 1_000, 66_560)]
    public async Task UnixSocket_WithEveryOptionOfTcp_HasThoseThatItKnows(bool replaced, int sendBuffer, int told)
    {
        EpollTransportOptions options = new()
        {
            LoopCount = 1,
            Sockets =
            {
                KeepAlive = true,
                UserTimeout = TimeSpan.FromSeconds(9),
                FastOpenQueueLength = 5,
                DeferAccept = TimeSpan.FromSeconds(1),
                QuickAck = true,
                ReusePort = true,
                FreeBind = true,
                Dscp = 3,
                CongestionControl = "reno",
                Multipath = true,
                NotSentLowWatermark = 4_096,
                SendBufferSize = sendBuffer,
            },
        };
        if (replaced)
        {
            options.CreateBoundListenSocket = endpoint => EpollTransportOptions.CreateDefaultBoundListenSocket(endpoint);
        }

        await using Served served = await Served.StartAsync(options, Net.NewAbstractEndPoint());

        Assert.Equal(told, RawOption.Get(served.Socket, RawOption.Socket, 7));
        Assert.Equal(0, RawOption.Get(served.Socket, RawOption.Socket, 9));
        UnixDomainSocketEndPoint other = Net.NewAbstractEndPoint();
        using var target = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        target.Bind(other);
        target.Listen();
        await using ConnectionContext client = await served.Clients.ConnectAsync(other).OrTimeout();
        Assert.Equal(told, RawOption.Get(client.Features.Get<IConnectionSocketFeature>()!.Socket, RawOption.Socket, 7));
    }

    /// <remarks>Against a plain socket of the framework's, which asks for nothing either.</remarks>
    [Fact]
    public async Task Defaults_AreTheKernels()
    {
        await using Served served = await Served.StartAsync(new EpollTransportOptions { LoopCount = 1, NoDelay = false }, Net.AnyLoopbackPort);
        using Socket listener = Listen();
        using Socket client = await Net.ConnectAsync(listener.LocalEndPoint!);
        using Socket plain = await listener.AcceptAsync().OrTimeout();

        foreach (object[] option in Options)
        {
            (int level, int number) = ((int)option[2], (int)option[3]);
            Assert.True(RawOption.Get(plain, level, number) == RawOption.Get(served.Socket, level, number), (string)option[0]);
        }

        Assert.Equal(RawOption.GetText(plain, RawOption.Tcp, RawOption.Congestion), RawOption.GetText(served.Socket, RawOption.Tcp, RawOption.Congestion));
        Assert.Equal((int)ProtocolType.Tcp, RawOption.Get(served.Socket, RawOption.Socket, RawOption.SoProtocol));
    }

    /// <remarks>What has to be set before a socket is bound is for the application's own function; everything else the transport sets.</remarks>
    [Fact]
    public async Task OwnListenSocketFunction_HasTheOptionsThatCanBeSetBehindIt()
    {
        EpollTransportOptions options = new() { LoopCount = 1, Sockets = { KeepAlive = true, UserTimeout = TimeSpan.FromSeconds(3), ReusePort = true, FreeBind = true } };
        Socket? shown = null;
        options.CreateBoundListenSocket = endpoint => shown = EpollTransportOptions.CreateDefaultBoundListenSocket(endpoint);

        await using Served served = await Served.StartAsync(options, Net.AnyLoopbackPort);

        foreach (Socket socket in new[] { shown!, served.Socket })
        {
            Assert.Equal(1, RawOption.Get(socket, RawOption.Socket, 9));
            Assert.Equal(3_000, RawOption.Get(socket, RawOption.Tcp, 18));
            Assert.Equal(0, RawOption.Get(socket, RawOption.Socket, 15));
            Assert.Equal(0, RawOption.Get(socket, RawOption.Ip, 15));
        }
    }

    [Fact]
    public async Task InheritedDescriptor_HasTheOptionsThatCanBeSetBehindItsBinding()
    {
        using Socket inherited = Listen();
        EpollTransportOptions options = new() { LoopCount = 1, Sockets = { KeepAlive = true, KeepAliveTime = TimeSpan.FromSeconds(20), ReusePort = true } };

        await using Served served = await Served.StartAsync(options, new FileHandleEndPoint((ulong)inherited.Handle, FileHandleType.Auto));

        Assert.Equal(1, RawOption.Get(served.Socket, RawOption.Socket, 9));
        Assert.Equal(20, RawOption.Get(served.Socket, RawOption.Tcp, 4));
        Assert.Equal(0, RawOption.Get(inherited, RawOption.Socket, 15));
    }

    [Fact]
    public async Task FreeBind_OfAnAddressThatTheMachineDoesNotHave_Binds()
    {
        // RFC 5737: for documentation, and so nobody's.
        using EpollTransportFactory factory = Factory(new EpollTransportOptions { LoopCount = 1, Sockets = { FreeBind = true } });

        await using IConnectionListener listener = await factory.BindAsync(new IPEndPoint(IPAddress.Parse("192.0.2.1"), 0)).OrTimeout();

        Assert.Equal("192.0.2.1", ((IPEndPoint)listener.EndPoint).Address.ToString());
    }

    [Fact]
    public async Task ReusePort_TwoTransportsOnOnePort_GetAllConnectionsBetweenThem()
    {
        EpollTransportOptions options = new() { LoopCount = 1, Sockets = { ReusePort = true } };
        using EpollTransportFactory first = Factory(options);
        using EpollTransportFactory second = Factory(options);
        IConnectionListener one = await first.BindAsync(Net.AnyLoopbackPort).OrTimeout();
        IConnectionListener two = await second.BindAsync(one.EndPoint).OrTimeout();
        Task served = Task.WhenAll(EchoServer.ServeAsync(one), EchoServer.ServeAsync(two));

        for (int i = 0; i < 40; i++)
        {
            using Socket client = await Net.ConnectAsync(one.EndPoint);
            await client.SendAsync("ping");
            Assert.Equal("ping", await client.ReceiveTextAsync(4));
        }

        await one.DisposeAsync().OrTimeout();
        await two.DisposeAsync().OrTimeout();
        await served.OrTimeout();
    }

    [Theory]
    [InlineData(nameof(EpollSocketOptions.CongestionControl), "TCP_CONGESTION to no-such")]
    [InlineData(nameof(EpollSocketOptions.UserTimeout), "TCP_USER_TIMEOUT to 1000 on a socket of Multipath TCP")]
    public async Task Option_ThatTheKernelRefuses_IsNamed(string property, string said)
    {
        EpollTransportOptions options = new() { LoopCount = 1 };
        bool isName = property == nameof(EpollSocketOptions.CongestionControl);
        options.Sockets.Multipath = !isName;
        options.Sockets.CongestionControl = isName ? "no-such" : null;
        options.Sockets.UserTimeout = isName ? null : TimeSpan.FromSeconds(1);

        SocketException error = await AssertRefusedAsync(options, property);

        Assert.Contains(said, error.Message, StringComparison.Ordinal);
    }

    private static async Task<SocketException> AssertRefusedAsync(EpollTransportOptions options, string property, SocketError? code = null)
    {
        using EpollTransportFactory factory = Factory(options);
        SocketException error = await Assert.ThrowsAsync<SocketException>(() => factory.BindAsync(Net.AnyLoopbackPort).OrTimeout());
        Assert.Contains($"EpollTransportOptions.Sockets.{property}", error.Message, StringComparison.Ordinal);
        Assert.Equal(code ?? error.SocketErrorCode, error.SocketErrorCode);
        return error;
    }

    private static void AssertSays(int expected, Socket socket, int level, int number)
    {
        if (expected >= 0)
        {
            Assert.Equal(expected, RawOption.Get(socket, level, number));
        }
    }

    private static EpollTransportFactory Factory(EpollTransportOptions options) =>
        new(Microsoft.Extensions.Options.Options.Create(options), NullLoggerFactory.Instance);

    private static Socket Listen()
    {
        Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(Net.AnyLoopbackPort);
        listener.Listen();
        return listener;
    }

    /// <summary>A transport, one of its listeners, and one connection.</summary>
    private sealed class Served(TransportEngine engine, IConnectionListener listener, Socket client, ConnectionContext connection) : IAsyncDisposable
    {
        public EpollConnectionFactory Clients { get; } = new(engine);

        public Socket Client { get; } = client;

        public ConnectionContext Connection { get; } = connection;

        public Socket Socket => Connection.Features.Get<IConnectionSocketFeature>()!.Socket;

        public static async Task<Served> StartAsync(
            EpollTransportOptions options, EndPoint endPoint, IPAddress? clientAddress = null, bool multipath = false, bool speaks = false)
        {
            TransportEngine engine = new(options, NullLoggerFactory.Instance);
            IConnectionListener listener = await new EpollTransportFactory(engine).BindAsync(endPoint).OrTimeout();
            EndPoint target = clientAddress is null ? listener.EndPoint : new IPEndPoint(clientAddress, ((IPEndPoint)listener.EndPoint).Port);
            Socket client = multipath
                ? new Socket(new SafeSocketHandle((nint)SystemCalls.CreateMultipathStream(target.AddressFamily).Value, ownsHandle: true))
                : Net.CreateClient(target);
            await client.ConnectAsync(target).OrTimeout();
            if (speaks)
            {
                // Who listens may wait for the client to speak.
                await client.SendAsync("x");
            }

            ConnectionContext? connection = await listener.AcceptAsync().OrTimeout();
            Assert.NotNull(connection);
            return new Served(engine, listener, client, connection);
        }

        public async ValueTask DisposeAsync()
        {
            Client.Dispose();
            await Connection.DisposeAsync().OrTimeout();
            await listener.DisposeAsync().OrTimeout();
            Clients.Dispose();
            engine.Dispose();
        }
    }
}
