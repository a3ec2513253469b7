using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.ConnectionLimits;
using KestrelEpollTransport.FunctionalTests.ConnectionLimits;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests.GenericHost;

/// <summary>Endpoints, handlers and limits of a server in a host without ASP.NET Core. How it stops is in <see cref="EpollServerStopTests"/>.</summary>
public class EpollServerTests
{
    private static readonly TimeSpan s_idle = TimeSpan.FromMinutes(10);

    [Theory, AllTransports]
    public async Task EndPoints_OfSeveralKinds_AllServeAndTellTheirPorts(TransportKind kind)
    {
        string path = Net.NewUnixPath();
        await using ServerHost host = await ServerHost.StartAsync(
            kind,
            server =>
            {
                server.Listen(Net.AnyLoopbackPort, static connections => connections.Run(ServerHost.EchoAsync));
                server.Listen(new UnixDomainSocketEndPoint(path), static connections => connections.Run(ServerHost.EchoAsync));
            },
            services => services.AddEpollServer(static server => server.Listen(Net.AnyLoopbackPort, static connections => connections.UseConnectionHandler<Handler>())));

        IReadOnlyList<EndPoint> bound = host.Services.GetRequiredService<EpollServer>().EndPoints;
        Assert.Equal(3, bound.Count);
        Assert.Equal(path, bound[1].ToString());
        Assert.Equal(bound.Select(static e => $"Now listening on: {e}"), host.Logged(ServerHost.Category, 60).Select(static e => e.Message));
        foreach (EndPoint endPoint in bound)
        {
            using Socket client = await Net.ConnectAsync(endPoint);
            await ServerHost.AssertEchoesAsync(client, "hello");
            client.Shutdown(SocketShutdown.Send);
            Assert.Empty(await client.ReceiveToEndAsync());
        }

        await host.UntilAllAreDisposedAsync();
        await host.StopAsync().OrTimeout();
        Assert.False(File.Exists(path));
        host.AssertCalm();
        Assert.IsType(kind.IsOurs() ? typeof(EpollTransportFactory) : typeof(SocketTransportFactory), host.Services.GetServices<IConnectionListenerFactory>().Last());
    }

    [Theory, AllTransports]
    public async Task Start_WithAnAddressInUse_NamesItAndBindsNothing(TransportKind kind)
    {
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(Net.AnyLoopbackPort);
        taken.Listen();
        EndPoint free = Net.NewAbstractEndPoint();
        await using ServerHost host = ServerHost.Build(kind, server =>
        {
            server.Listen(free, static connections => connections.Run(ServerHost.EchoAsync));
            server.Listen(taken.LocalEndPoint!, static connections => connections.Run(ServerHost.EchoAsync));
        });

        AddressInUseException error = await Assert.ThrowsAsync<AddressInUseException>(host.StartAsync);

        Assert.StartsWith(taken.LocalEndPoint!.ToString()!, error.Message, StringComparison.Ordinal);
        Assert.Empty(host.Services.GetRequiredService<EpollServer>().EndPoints);
        await Assert.ThrowsAsync<SocketException>(() => Net.ConnectAsync(free));
    }

    [Fact]
    public async Task Start_WithAnEndPointThatNobodyBinds_NamesIt()
    {
        await using ServerHost host = ServerHost.Build(
            TransportKind.EpollAdaptive, static server => server.Listen(new DnsEndPoint("localhost", 0), static connections => connections.Run(ServerHost.EchoAsync)));

        InvalidOperationException error = await Assert.ThrowsAsync<InvalidOperationException>(host.StartAsync);

        Assert.Contains("localhost", error.Message, StringComparison.Ordinal);
    }

    /// <remarks>A wait for something else that was cancelled is a failure, unlike one for the client.</remarks>
    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Handler_ThatThrows_CostsItsConnectionAndOneLine(TransportKind kind, bool cancelled)
    {
        Exception thrown = cancelled ? new TaskCanceledException("A time-out of its own.") : new FormatException("No such command.");
        await using ServerHost host = await ServerHost.StartAsync(kind, connections => connections.Run(async connection =>
        {
            if (await connection.Transport.Input.ReadTextAsync(1) == "!")
            {
                await connection.Transport.Output.WriteTextAsync("last words");
                throw thrown;
            }

            await ServerHost.EchoAsync(connection);
        }));
        using Socket other = await host.ConnectAsync();
        await other.SendAsync("x");
        using Socket client = await host.ConnectAsync();

        await client.SendAsync("!");

        Assert.Equal("last words", await client.ReceiveTextToEndAsync());
        await host.Logs.WaitForAsync(static e => e.Category == ServerHost.Category && e.Id == 63).OrTimeout();
        await ServerHost.AssertEchoesAsync(other, "lives on");
        other.Dispose();
        await host.UntilAllAreDisposedAsync();
        LogEntry line = Assert.Single(host.Logs.All(), static e => e.Level > LogLevel.Information);
        Assert.Equal(LogLevel.Error, line.Level);
        Assert.Same(thrown, line.Exception);
    }

    [Theory, AllTransports]
    public async Task Client_ThatResets_IsALineAtDebug(TransportKind kind)
    {
        await using ServerHost host = await ServerHost.StartAsync(kind, static connections => connections.Run(ServerHost.EchoAsync));
        Socket client = await host.ConnectAsync();
        await ServerHost.AssertEchoesAsync(client, "x");

        client.Reset();

        LogEntry line = await host.Logs.WaitForAsync(static e => e.Category == ServerHost.Category && e.Id == 64).OrTimeout();
        Assert.Equal(LogLevel.Debug, line.Level);
        await host.UntilAllAreDisposedAsync();
        host.AssertCalm();
    }

    [Theory, AllTransports]
    public async Task Limit_OfConnections_ResetsTheNextAndHasRoomAgain(TransportKind kind)
    {
        await using ServerHost host = await ServerHost.StartAsync(
            kind, static connections => connections.UseConnectionLimits(static limits => limits.MaxConnections = 2).Run(ServerHost.EchoAsync));
        using Socket first = await host.ConnectAsync();
        await ServerHost.AssertEchoesAsync(first, "x");
        using Socket second = await host.ConnectAsync();
        await ServerHost.AssertEchoesAsync(second, "x");

        for (int i = 0; i < 3; i++)
        {
            // The reset may come before connect(2) has returned.
            SocketException error = await Assert.ThrowsAsync<SocketException>(async () =>
            {
                using Socket refused = await host.ConnectAsync();
                await refused.ReceiveToEndAsync();
            });
            Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
        }

        LogEntry report = Assert.Single(host.Logs.All(), static e => e.Category == LimitReports.Category);
        Assert.Equal((LogLevel.Warning, 53), (report.Level, report.Id));
        await ServerHost.AssertEchoesAsync(first, "still here");

        // Its place is free when its handler has returned, which its end shows.
        second.Shutdown(SocketShutdown.Send);
        Assert.Empty(await second.ReceiveToEndAsync());
        using Socket next = await host.ConnectAsync();
        await ServerHost.AssertEchoesAsync(next, "x");
    }

    [Theory, AllTransports]
    public async Task Idle_Connection_IsAskedToEndAndEndsCleanly(TransportKind kind)
    {
        var time = new ManualTime();
        await using ServerHost host = await ServerHost.StartAsync(
            kind,
            static connections => connections.UseConnectionLimits(static limits => limits.IdleTimeout = s_idle).Run(ServerHost.EchoAsync),
            services => services.AddSingleton<TimeProvider>(time));
        using var metrics = new MetricsRecorder(host.Services);
        using Socket client = await host.ConnectAsync();
        await ServerHost.AssertEchoesAsync(client, "x");

        // This look sees that it was used.
        time.Advance(s_idle * 0.9);
        await ServerHost.AssertEchoesAsync(client, "y");
        time.Advance(s_idle * 0.9);
        await ServerHost.AssertEchoesAsync(client, "z");
        time.Advance(TimeSpan.Zero);
        time.Advance(s_idle);

        Assert.Empty(await client.ReceiveToEndAsync());
        Assert.Equal((1, 0), (metrics["connections.ended", "idle"], metrics["connections.ended", "age"]));
        await host.UntilAllAreDisposedAsync();
        host.AssertCalm();
    }

    [Fact]
    public async Task Accepting_ThatFails_IsToldOnceAndTriedAgain()
    {
        FailingListenerFactory? failing = null;
        await using ServerHost host = await ServerHost.StartAsync(
            TransportKind.Sockets,
            static connections => connections.Run(ServerHost.EchoAsync),
            services => services.AddSingleton<IConnectionListenerFactory>(
                provider => failing = new FailingListenerFactory(ActivatorUtilities.CreateInstance<SocketTransportFactory>(provider), failures: 4)));

        using Socket client = await host.ConnectAsync();
        await ServerHost.AssertEchoesAsync(client, "after all");

        Assert.Equal(0, failing!.FailuresLeft);
        LogEntry line = Assert.Single(host.Logs.All(), static e => e.Level > LogLevel.Information);
        Assert.Equal((LogLevel.Error, 62), (line.Level, line.Id));
    }

    [Theory, EpollTransports("Sockets takes nothing over.")]
    public async Task InheritedSocket_OfItsAddress_IsTakenOver(TransportKind kind)
    {
        using var manager = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        manager.Bind(Net.AnyLoopbackPort);
        manager.Listen();
        int passed = (int)Native.SystemCalls.Duplicate((int)manager.Handle).Value;
        await using ServerHost host = await ServerHost.StartAsync(
            kind,
            server => server.Listen(manager.LocalEndPoint!, static connections => connections.Run(ServerHost.EchoAsync)),
            services => services.AddSingleton(ListenerHandover.Create("1", passed, passed: null)).AddListenerHandover());

        using Socket client = await Net.ConnectAsync(manager.LocalEndPoint!);

        await ServerHost.AssertEchoesAsync(client, "inherited");
    }

    private sealed class Handler : ConnectionHandler
    {
        public override Task OnConnectedAsync(ConnectionContext connection) => ServerHost.EchoAsync(connection);
    }

    private sealed class FailingListenerFactory(IConnectionListenerFactory inner, int failures) : IConnectionListenerFactory
    {
        private int _failures = failures;

        public int FailuresLeft => _failures;

        public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
            new Listener(this, await inner.BindAsync(endpoint, cancellationToken));

        private sealed class Listener(FailingListenerFactory factory, IConnectionListener inner) : IConnectionListener
        {
            public EndPoint EndPoint => inner.EndPoint;

            public ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default) =>
                factory._failures == 0 ? inner.AcceptAsync(cancellationToken)
                : Interlocked.Decrement(ref factory._failures) % 2 == 0 ? throw new IOException("Thrown.")
                : ValueTask.FromException<ConnectionContext?>(new IOException("Returned."));

            public ValueTask UnbindAsync(CancellationToken cancellationToken = default) => inner.UnbindAsync(cancellationToken);

            public ValueTask DisposeAsync() => inner.DisposeAsync();
        }
    }
}
