using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What the log says of who serves what: nothing else tells that the transport is in use.</summary>
public sealed class ServingNoticeTests : IDisposable
{
    private const int Serving = 27;
    private const int ResolvedOptions = 28;

    private readonly LogRecorder _logs = new();

    public void Dispose() => _logs.Dispose();

    [Fact]
    public async Task Host_WithTwoEndpoints_SaysItInOneLineWhenBothAreBound()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(["--hostBuilder:reloadConfigOnChange=false"]);
        KestrelHost.Record(builder.Logging, _logs);
        builder.WebHost.UseEpollTransport(static options => options.LoopCount = 3);
        builder.WebHost.ConfigureKestrel(static kestrel =>
        {
            kestrel.Listen(Net.AnyLoopbackPort);
            kestrel.Listen(Net.AnyLoopbackPort);
        });
        await using WebApplication app = builder.Build();

        await app.StartAsync().OrTimeout();

        string[] addresses = [.. app.Urls.Select(static url => new Uri(url).Authority)];
        Assert.Equal(2, addresses.Length);
        LogEntry line = Assert.Single(Lines(Serving));
        Assert.Equal(LogLevel.Information, line.Level);
        Assert.Equal($"The epoll transport serves {addresses[0]}, {addresses[1]} (event loops: 3, scheduling: Adaptive).", line.Message);
        LogEntry options = Assert.Single(Lines(ResolvedOptions));
        Assert.Equal(LogLevel.Debug, options.Level);
        Assert.Contains("LoopCount=3, Scheduling=Adaptive, ", options.Message, StringComparison.Ordinal);
        await app.StopAsync().OrTimeout();
    }

    [Fact]
    public async Task Bind_AfterTheHostHasStarted_HasALineOfItsOwn()
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        KestrelHost.Record(builder.Logging, _logs);
        builder.Services.AddEpollTransport(static options => options.LoopCount = 1);
        using IHost host = builder.Build();
        await host.StartAsync().OrTimeout();
        Assert.Empty(Lines(Serving));

        await using IConnectionListener listener = await host.Services.GetRequiredService<IConnectionListenerFactory>().BindAsync(Net.AnyLoopbackPort).OrTimeout();

        AssertServes(listener.EndPoint, Assert.Single(Lines(Serving)));
        Assert.Single(Lines(ResolvedOptions));
        await host.StopAsync().OrTimeout();
    }

    [Fact]
    public async Task Bind_WithoutAHost_HasALineForEachEndpointAndOneForTheOptions()
    {
        await using ServiceProvider services = new ServiceCollection()
            .AddSingleton<ILoggerFactory>(_logs).AddEpollTransport(static options => options.LoopCount = 1).BuildServiceProvider();
        IConnectionListenerFactory factory = services.GetRequiredService<IConnectionListenerFactory>();

        await using IConnectionListener first = await factory.BindAsync(Net.AnyLoopbackPort).OrTimeout();
        await using IConnectionListener second = await factory.BindAsync(Net.NewAbstractEndPoint()).OrTimeout();

        LogEntry[] lines = Lines(Serving);
        Assert.Equal(2, lines.Length);
        AssertServes(first.EndPoint, lines[0]);
        AssertServes(second.EndPoint, lines[1]);
        Assert.Single(Lines(ResolvedOptions));
    }

    private static void AssertServes(EndPoint endPoint, LogEntry line) =>
        Assert.Equal($"The epoll transport serves {endPoint} (event loops: 1, scheduling: Adaptive).", line.Message);

    private LogEntry[] Lines(int id) => [.. _logs.All().Where(entry => entry.Category == "KestrelEpollTransport" && entry.Id == id)];
}
