using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The ways to switch the transport on, and who serves an endpoint in the end.</summary>
public class HostingTests
{
    private static readonly string[] s_noReload = ["--hostBuilder:reloadConfigOnChange=false"];

    public enum Builder
    {
        Slim,
        Full,
        WebHostDefaults,
        BeforeUseKestrel,
        AfterUseKestrel,
    }

    [Theory]
    [AllTransports(Builder.Slim), AllTransports(Builder.Full), AllTransports(Builder.WebHostDefaults)]
    [AllTransports(Builder.BeforeUseKestrel), AllTransports(Builder.AfterUseKestrel)]
    public async Task Host_OfEachBuilder_ServesOverTheTransport(TransportKind kind, Builder builder)
    {
        var logs = new LogRecorder();
        using IHost host = Build(kind, builder, logs);
        await host.StartAsync().OrTimeout();
        string address = host.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.First();

        using (var client = new HttpClient())
        {
            Assert.Equal("hosted", await client.GetStringAsync(new Uri(address)).OrTimeout());
        }

        await host.StopAsync().OrTimeout();
        // The FIN is logged by whoever carried the connection.
        Assert.Contains(logs.Of(kind), e => e.Id is 6 or 7);
        Assert.DoesNotContain(logs.All(), e => e.Category == Other(kind).LogCategory());
    }

    [Theory, AllTransports]
    public async Task Factories_InAWebHost_AreSocketsAndOnTopTheChosenOne(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context => context.Response.WriteAsync("x"));

        IConnectionListenerFactory[] factories = [.. host.App.Services.GetServices<IConnectionListenerFactory>()];

        Assert.Equal(kind.IsOurs() ? 2 : 1, factories.Length);
        Assert.IsType<SocketTransportFactory>(factories[0]);
        Assert.Equal(kind.IsOurs(), factories[^1] is EpollTransportFactory);
    }

    [Theory, EpollTransports("Sockets has TryAdd and so no duplicates of itself either way")]
    public void UseEpollTransport_CalledTwice_RegistersOnce(TransportKind kind)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(s_noReload);

        builder.WebHost.UseEpollTransport(o => o.Scheduling = kind.Scheduling());
        builder.WebHost.UseEpollTransport();

        Assert.Single(builder.Services, s => s.ImplementationType == typeof(EpollTransportFactory)
            || (s.ServiceType == typeof(IConnectionListenerFactory) && s.ImplementationType != typeof(SocketTransportFactory)));
    }

    [Theory, EpollTransports("Sockets can't be registered outside a web host")]
    public async Task AddEpollTransport_InAPlainHost_ListensAndConnects(TransportKind kind)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddLogging();
        builder.Services.AddEpollTransport(o => o.Scheduling = kind.Scheduling()).UsePollerOf(kind);
        using IHost host = builder.Build();
        var listeners = host.Services.GetRequiredService<IConnectionListenerFactory>();
        var connections = host.Services.GetRequiredService<IConnectionFactory>();
        Assert.IsType<EpollTransportFactory>(listeners);
        Assert.IsType<EpollConnectionFactory>(connections);

        await using IConnectionListener listener = await listeners.BindAsync(Net.AnyLoopbackPort).OrTimeout();
        await using ConnectionContext client = await connections.ConnectAsync(listener.EndPoint).OrTimeout();
        await using ConnectionContext server = await BindTests.AcceptAsync(listener);

        await client.Transport.Output.WriteTextAsync("ping");
        Assert.Equal("ping", await server.Transport.Input.ReadTextAsync(4));
    }

    [Theory, EpollTransports("the option names are ours")]
    public void Options_Invalid_NameOptionAndValue(TransportKind kind)
    {
        AssertRefused(o => o.LoopCount = 0, nameof(EpollTransportOptions.LoopCount), "0");
        AssertRefused(o => o.LoopCount = 65, nameof(EpollTransportOptions.LoopCount), "65");
        AssertRefused(o => o.Backlog = -3, nameof(EpollTransportOptions.Backlog), "-3");
        AssertRefused(o => o.MaxReadBufferSize = -4, nameof(EpollTransportOptions.MaxReadBufferSize), "-4");
        AssertRefused(o => o.MaxWriteBufferSize = -5, nameof(EpollTransportOptions.MaxWriteBufferSize), "-5");
        AssertRefused(o => o.Scheduling = (ApplicationScheduling)77, nameof(EpollTransportOptions.Scheduling), "77");
        AssertRefused(o => o.CreateBoundListenSocket = null!, nameof(EpollTransportOptions.CreateBoundListenSocket), "null");

        void AssertRefused(Action<EpollTransportOptions> set, string option, string value)
        {
            var options = new EpollTransportOptions { Scheduling = kind.Scheduling() };
            set(options);
            OptionsValidationException error = Assert.Throws<OptionsValidationException>(
                () => new EpollTransportFactory(Options.Create(options), new LogRecorder()));
            Assert.Contains(option, error.Message, StringComparison.Ordinal);
            Assert.Contains(value, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Options_Defaults_AreThoseOfSockets()
    {
        var sockets = new SocketTransportOptions();
        var ours = new EpollTransportOptions();

        Assert.Equal(sockets.Backlog, ours.Backlog);
        Assert.Equal(sockets.NoDelay, ours.NoDelay);
        Assert.Equal(sockets.MaxReadBufferSize, ours.MaxReadBufferSize);
        Assert.Equal(sockets.MaxWriteBufferSize, ours.MaxWriteBufferSize);
        Assert.Equal(ApplicationScheduling.Adaptive, ours.Scheduling);
        Assert.Equal(Math.Clamp(Environment.ProcessorCount / 8, 1, 64), ours.LoopCount);
    }

    [Theory, AllTransports]
    public async Task MemoryPool_InAWebHost_IsTheOneOfKestrel(TransportKind kind)
    {
        // Its blocks are pinned, it evicts what is idle, and it has metrics; the shared pool has none of that.
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context =>
            context.Response.WriteAsync(context.Features.GetRequiredFeature<IMemoryPoolFeature>().MemoryPool.GetType().Name));
        using HttpClient client = host.CreateClient();

        Assert.Equal("PinnedBlockMemoryPool", await client.GetStringAsync(host.Address).OrTimeout());
    }

    [Theory, AllTransports]
    public async Task PortInUse_OfAHost_FailsWithKestrelsUsualMessage(TransportKind kind)
    {
        await using KestrelHost first = await KestrelHost.StartAsync(kind, context => context.Response.WriteAsync("x"));

        IOException error = await Assert.ThrowsAsync<IOException>(() => KestrelHost.StartAsync(
            kind, app => { }, configure: b => b.WebHost.ConfigureKestrel(o => o.Listen(IPAddress.Loopback, first.Address.Port))));

        Assert.Equal($"Failed to bind to address http://127.0.0.1:{first.Address.Port}: address already in use.", error.Message);
        Assert.IsType<AddressInUseException>(error.InnerException);
    }

    [Theory, AllTransports]
    public async Task ListenHandle_OfAnInheritedSocket_IsServed(TransportKind kind)
    {
        using var inherited = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        inherited.Bind(Net.AnyLoopbackPort);
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind,
            app => app.Run(context => context.Response.WriteAsync("inherited")),
            configure: b => b.WebHost.ConfigureKestrel(o => o.ListenHandle((ulong)inherited.Handle)));
        using var client = new HttpClient();

        Assert.Equal("inherited", await client.GetStringAsync(new Uri($"http://{inherited.LocalEndPoint}")).OrTimeout());
    }

    [Theory, AllTransports]
    public async Task NamedPipeEndPoint_WithoutItsTransport_FailsWithKestrelsUsualMessage(TransportKind kind)
    {
        PlatformNotSupportedException error = await Assert.ThrowsAsync<PlatformNotSupportedException>(() => KestrelHost.StartAsync(
            kind, app => { }, configure: b => b.WebHost.ConfigureKestrel(o => o.ListenNamedPipe("pipe"))));

        Assert.Contains("Named pipes", error.Message, StringComparison.OrdinalIgnoreCase);
    }

    [Theory, AllTransports]
    public async Task EndPointOfNoTransport_FailsWithKestrelsUsualMessage(TransportKind kind)
    {
        InvalidOperationException error = await Assert.ThrowsAsync<InvalidOperationException>(() => KestrelHost.StartAsync(
            kind, app => { }, configure: b => b.WebHost.ConfigureKestrel(o => o.Listen(new UriEndPoint(new Uri("http://localhost"))))));

        Assert.StartsWith("No registered IConnectionListenerFactory supports endpoint", error.Message, StringComparison.Ordinal);
    }

    private static IHost Build(TransportKind kind, Builder builder, LogRecorder logs)
    {
        if (builder is Builder.Slim or Builder.Full)
        {
            WebApplicationBuilder web = builder == Builder.Slim
                ? WebApplication.CreateSlimBuilder(s_noReload)
                : WebApplication.CreateBuilder(s_noReload);
            KestrelHost.Record(web.Logging, logs);
            KestrelHost.Use(web.WebHost, kind);
            web.WebHost.ConfigureKestrel(o => o.Listen(Net.AnyLoopbackPort));
            WebApplication app = web.Build();
            app.Run(context => context.Response.WriteAsync("hosted"));
            return app;
        }

        IHostBuilder generic = Host.CreateDefaultBuilder(s_noReload)
            .ConfigureLogging(logging => KestrelHost.Record(logging, logs));
        return builder == Builder.WebHostDefaults
            ? generic.ConfigureWebHostDefaults(web => ConfigureApp(web, kind)).Build()
            : generic.ConfigureWebHost(web => ConfigureKestrelAndApp(web, kind, builder)).Build();
    }

    private static void ConfigureApp(IWebHostBuilder web, TransportKind kind)
    {
        KestrelHost.Use(web, kind);
        web.ConfigureKestrel(o => o.Listen(Net.AnyLoopbackPort));
        web.Configure(app => app.Run(context => context.Response.WriteAsync("hosted")));
    }

    private static void ConfigureKestrelAndApp(IWebHostBuilder web, TransportKind kind, Builder builder)
    {
        if (builder != Builder.AfterUseKestrel)
        {
            KestrelHost.Use(web, kind);
        }

        web.UseKestrel(o => o.Listen(Net.AnyLoopbackPort));
        if (builder == Builder.AfterUseKestrel)
        {
            KestrelHost.Use(web, kind);
        }

        web.Configure(app => app.Run(context => context.Response.WriteAsync("hosted")));
    }

    private static TransportKind Other(TransportKind kind) =>
        kind.IsOurs() ? TransportKind.Sockets : TransportKind.EpollThreadPool;
}
