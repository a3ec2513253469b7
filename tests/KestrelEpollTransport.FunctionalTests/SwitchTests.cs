using System.Buffers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The ways to leave a web host's endpoints to Sockets, and what is none.</summary>
public sealed class SwitchTests : IDisposable
{
    private const int SwitchedOff = 26;
    private const string OffByKey = "--EpollTransport:Enabled=false";

    private readonly LogRecorder _logs = new();

    public void Dispose() => _logs.Dispose();

    [Fact]
    public Task UseSockets_AfterUseEpollTransport_HasSocketsServe() => AssertSocketsServeAsync(
        static web => web.UseEpollTransport().UseSockets(), "UseSockets() was called after UseEpollTransport()");

    [Fact]
    public Task UseSockets_WithOptions_HasSocketsServe() => AssertSocketsServeAsync(
        static web => web.UseEpollTransport(static options => options.Enabled = true).UseSockets(static sockets => sockets.Backlog = 7),
        "UseSockets() was called after UseEpollTransport()");

    [Fact]
    public Task Enabled_FalseInCode_HasSocketsServe() => AssertSocketsServeAsync(
        static web => web.UseEpollTransport(static options => options.Enabled = false), "EpollTransportOptions.Enabled is false");

    [Fact]
    public Task Enabled_FalseInTheConfiguration_HasSocketsServe() => AssertSocketsServeAsync(
        static web => web.UseEpollTransport(static options => options.Enabled = true), "the configuration has EpollTransport:Enabled=false", OffByKey);

    [Fact]
    public Task UseEpollTransport_AfterUseSockets_Serves() => AssertEpollServesAsync(
        static web => web.UseSockets().UseEpollTransport());

    [Fact]
    public Task UseEpollTransport_CalledLastOfThree_Serves() => AssertEpollServesAsync(
        static web => web.UseEpollTransport().UseSockets().UseEpollTransport());

    [Fact]
    public Task UseEpollTransport_BeforeOptionsOfSockets_Serves() => AssertEpollServesAsync(
        static web => web.UseEpollTransport().ConfigureServices(static services =>
        {
            services.Configure<SocketTransportOptions>(static options => options.Backlog = 7);
            services.AddOptions<SocketTransportOptions>().Configure(static (SocketTransportOptions options, IMemoryPoolFactory<byte> _) => options.Backlog = 7);
        }));

    [Theory]
    [InlineData("epoll kestrel", true)]
    [InlineData("kestrel epoll kestrel", true)]
    [InlineData("epoll kestrel sockets", false)]
    [InlineData("epoll sockets kestrel", false)]
    [InlineData("kestrel epoll sockets", false)]
    [InlineData("epoll sockets epoll kestrel", true)]
    public void UseKestrel_AnywhereInTheOrder_ChangesNothing(string calls, bool isEpoll)
    {
        using IHost host = new HostBuilder().ConfigureWebHost(web =>
        {
            foreach (string call in calls.Split(' '))
            {
                _ = call switch { "epoll" => web.UseEpollTransport(), "sockets" => web.UseSockets(), _ => web.UseKestrel() };
            }

            web.Configure(static _ => { });
        }).Build();

        EpollTransportFactory factory = Assert.Single(host.Services.GetServices<IConnectionListenerFactory>().OfType<EpollTransportFactory>());

        Assert.Equal(isEpoll, factory.CanBind(Net.AnyLoopbackPort));
    }

    [Fact]
    public Task Enabled_TrueInTheConfiguration_HasTheLastWord() => AssertEpollServesAsync(
        static web => web.UseEpollTransport(static options => options.Enabled = false).UseSockets(), "--EpollTransport:Enabled=true");

    [Fact]
    public Task Enabled_TrueInTheConfiguration_HasTheLastWordWhoeverAddedTheTransport() => AssertEpollServesAsync(
        static web => web.ConfigureServices(static services => services.AddEpollTransport()).UseEpollTransport().UseSockets(),
        "--EpollTransport:Enabled=true");

    [Fact]
    public void Server_OfAnotherKindInsteadOfKestrels_ChangesNothing()
    {
        using IHost host = new HostBuilder().ConfigureWebHost(static web =>
        {
            web.UseKestrel().UseEpollTransport();
            web.ConfigureServices(static services => services.RemoveAll<IServer>().AddSingleton<IServer, NoServer>());
            web.Configure(static _ => { });
        }).Build();

        EpollTransportFactory factory = Assert.Single(host.Services.GetServices<IConnectionListenerFactory>().OfType<EpollTransportFactory>());

        Assert.True(factory.CanBind(Net.AnyLoopbackPort));
    }

    [Fact]
    public async Task Enabled_NeitherTrueNorFalse_IsRefusedByName()
    {
        OptionsValidationException error = await Assert.ThrowsAsync<OptionsValidationException>(async () =>
        {
            await using WebApplication app = Build(static web => web.UseEpollTransport(), "--EpollTransport:Enabled=maybe");
            await app.StartAsync().OrTimeout();
        });

        Assert.Equal("EpollTransport:Enabled is 'maybe' and must be true or false", error.Message);
    }

    [Fact]
    public async Task BindAsync_WhereTheTransportIsSwitchedOff_BindsForWhoAsksItself()
    {
        using var factory = new EpollTransportFactory(Options.Create(new EpollTransportOptions { Enabled = false, LoopCount = 1 }), _logs);
        Assert.False(factory.CanBind(Net.AnyLoopbackPort));

        await using IConnectionListener listener = await factory.BindAsync(Net.AnyLoopbackPort).OrTimeout();

        await BindTests.AssertEchoAsync(listener, listener.EndPoint);
    }

    private async Task AssertSocketsServeAsync(Action<IWebHostBuilder> configure, string reason, params string[] arguments)
    {
        await AssertServesAsync(TransportKind.Sockets, configure, arguments);

        // Of two endpoints, both asked for.
        LogEntry line = Assert.Single(_logs.All(), static entry => entry.Id == SwitchedOff && entry.Category == "KestrelEpollTransport");
        Assert.Equal(LogLevel.Information, line.Level);
        Assert.Equal(
            $"The epoll transport is switched off: {reason}. Another transport, Sockets if it is registered, serves its endpoints.", line.Message);
    }

    private async Task AssertEpollServesAsync(Action<IWebHostBuilder> configure, params string[] arguments)
    {
        await AssertServesAsync(TransportKind.EpollAdaptive, configure, arguments);

        Assert.DoesNotContain(_logs.All(), static entry => entry.Id == SwitchedOff && entry.Category == "KestrelEpollTransport");
    }

    private async Task AssertServesAsync(TransportKind kind, Action<IWebHostBuilder> configure, string[] arguments)
    {
        await using WebApplication app = Build(configure, arguments);
        app.Run(static context => context.Response.WriteAsync("served"));
        await app.StartAsync().OrTimeout();

        using (var client = new HttpClient())
        {
            foreach (string url in app.Urls)
            {
                Assert.Equal("served", await client.GetStringAsync(new Uri(url)).OrTimeout());
            }
        }

        // The FIN is logged by whoever carried the connection.
        await app.StopAsync().OrTimeout();
        Assert.Contains(_logs.Of(kind), static entry => entry.Id is 6 or 7);
        TransportKind other = kind.IsOurs() ? TransportKind.Sockets : TransportKind.EpollAdaptive;
        Assert.DoesNotContain(_logs.Of(other), static entry => entry.Id is 6 or 7);
    }

    private WebApplication Build(Action<IWebHostBuilder> configure, params string[] arguments)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(["--hostBuilder:reloadConfigOnChange=false", .. arguments]);
        KestrelHost.Record(builder.Logging, _logs);
        configure(builder.WebHost);
        builder.WebHost.ConfigureKestrel(static kestrel =>
        {
            kestrel.Listen(Net.AnyLoopbackPort);
            kestrel.Listen(Net.AnyLoopbackPort);
        });
        return builder.Build();
    }

    private sealed class NoServer : IServer
    {
        public IFeatureCollection Features { get; } = new FeatureCollection();

        public Task StartAsync<TContext>(IHttpApplication<TContext> application, CancellationToken cancellationToken)
            where TContext : notnull => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public void Dispose()
        {
        }
    }
}
