using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Handlers that block their threads, and everybody else.</summary>
[Collection(RunsAlone.Name)]
public sealed class AdaptiveSchedulingTests : IDisposable
{
    private const TransportKind Adaptive = TransportKind.EpollAdaptive;

    /// <summary>Far more than loops and pool threads.</summary>
    private const int Blocked = 100;

    private readonly ManualResetEventSlim _release = new();
    private readonly CountdownEvent _blocked = new(Blocked);

    public void Dispose()
    {
        _release.Set();
        _release.Dispose();
        _blocked.Dispose();
    }

    [Fact]
    public async Task BlockedHandlers_ManyMoreThanThreads_LeaveOldAndNewConnectionsServed()
    {
        await using KestrelHost host = await StartAsync();
        using HttpClient old = host.CreateClient();
        Assert.Equal("cheap", await old.GetStringAsync(new Uri("/", UriKind.Relative)).OrTimeout());

        using HttpClient blocking = host.CreateClient();
        Task<string>[] blocked = Block(blocking);
        Assert.True(_blocked.Wait(Timeouts.Limit), $"{_blocked.CurrentCount} handlers have not begun.");

        for (int i = 0; i < 20; i++)
        {
            Assert.Equal("cheap", await old.GetStringAsync(new Uri("/", UriKind.Relative)).OrTimeout());
            using HttpClient fresh = host.CreateClient();
            Assert.Equal("cheap", await fresh.GetStringAsync(new Uri("/", UriKind.Relative)).OrTimeout());
        }

        Assert.All(blocked, task => Assert.False(task.IsCompleted));
        _release.Set();
        Assert.All(await Task.WhenAll(blocked).OrTimeout(), answer => Assert.Equal("blocked", answer));
        host.AssertTransportWasCalm();
    }

    [Fact]
    public async Task BlockedHandlers_MoreThanMaxWorkers_AllBeginAfterAWhile_WithOneWarning()
    {
        await using KestrelHost host = await StartAsync(options => options.MaxWorkers = 3);
        using HttpClient blocking = host.CreateClient();
        Task<string>[] blocked = Block(blocking);
        Assert.True(_blocked.Wait(Timeouts.Limit), $"{_blocked.CurrentCount} handlers have not begun.");

        // None of them has a thread of the pool, which others need.
        Assert.InRange(ThreadPool.ThreadCount, 0, Blocked / 2);
        using HttpClient fresh = host.CreateClient();
        Assert.Equal("cheap", await fresh.GetStringAsync(new Uri("/", UriKind.Relative)).OrTimeout());
        _release.Set();
        await Task.WhenAll(blocked).OrTimeout();

        LogEntry warning = await host.Logs.WaitForAsync(Adaptive, 31);
        Assert.Equal(LogLevel.Warning, warning.Level);
        Assert.Contains("All 3 workers", warning.Message, StringComparison.Ordinal);
        Assert.Single(host.Logs.Of(Adaptive), entry => entry.Level > LogLevel.Debug);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(256)]
    public async Task SyncOverAsync_ToTheSameServer_MoreThanAllThreads_IsAllAnswered(int maxWorkers)
    {
        // As in dotnet/aspnetcore#28356. Each outer request needs an inner one of the same server to be served.
        HttpClient? inner = null;
        await using KestrelHost host = await StartAsync(
            options => options.MaxWorkers = maxWorkers,
            context => context.Request.Path == "/outer"
#pragma warning disable xUnit1031 // It is what this test is about.
                ? context.Response.WriteAsync("outer " + inner!.GetStringAsync(new Uri("/", UriKind.Relative)).Result)
#pragma warning restore xUnit1031
                : context.Response.WriteAsync("inner"));
        inner = host.CreateClient();
        using HttpClient outer = host.CreateClient();

        for (int round = 0; round < 3; round++)
        {
            string[] answers = await Task.WhenAll(Enumerable.Range(0, 60).Select(
                _ => outer.GetStringAsync(new Uri("/outer", UriKind.Relative)))).OrTimeout();
            Assert.All(answers, answer => Assert.Equal("outer inner", answer));
        }

        inner.Dispose();
    }

    [Theory, AllTransports]
    public async Task OneConnection_AlternatingCheapAndBlockingRequests_IsAnsweredInOrder(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, HandleAsync);
        using Socket client = await host.ConnectAsync();
        for (int i = 0; i < 40; i++)
        {
            string path = i % 2 == 0 ? $"/{i}" : $"/sleep{i}";
            await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            await HttpConnectionEndTests.ReceiveUntilAsync(client, $"answer to {path}\r\n0\r\n\r\n");
        }

        static Task HandleAsync(HttpContext context)
        {
            if (context.Request.Path.Value!.StartsWith("/sleep", StringComparison.Ordinal))
            {
                Thread.Sleep(3);
            }

            return context.Response.WriteAsync($"answer to {context.Request.Path}");
        }
    }

    [Theory, AllTransports]
    public async Task Http2Streams_AlternatingCheapAndBlocking_AreAllAnswered(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind,
            context =>
            {
                int number = int.Parse(context.Request.Path.Value.AsSpan(1), provider: null);
                if (number % 2 == 1)
                {
                    Thread.Sleep(3);
                }

                return context.Response.WriteAsync($"answer to {number}");
            },
            listen => listen.Protocols = HttpProtocols.Http2);
        using HttpClient client = host.CreateClient(HttpVersion.Version20);

        string[] answers = await Task.WhenAll(Enumerable.Range(0, 60).Select(
            i => client.GetStringAsync(new Uri($"/{i}", UriKind.Relative)))).OrTimeout();

        Assert.Equal(Enumerable.Range(0, 60).Select(i => $"answer to {i}"), answers);
    }

    [Fact]
    public async Task ClientThatLeaves_WhileAllHandlersBlock_IsNoticedByItsHandler()
    {
        // The handler's own thread waits for what only the loop, which that thread was driving, can tell.
        using CountdownEvent waiting = new(Blocked);
        using CountdownEvent noticed = new(Blocked);
        await using KestrelHost host = await StartAsync(handler: context =>
        {
            waiting.Signal();
            if (context.RequestAborted.WaitHandle.WaitOne(Timeouts.Limit))
            {
                noticed.Signal();
            }

            return Task.CompletedTask;
        });
        List<Socket> clients = [];
        for (int i = 0; i < Blocked; i++)
        {
            clients.Add(await host.ConnectAsync());
            await clients[i].SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        }

        Assert.True(waiting.Wait(Timeouts.Limit), $"{waiting.CurrentCount} handlers have not begun.");
        clients.ForEach(client => client.Reset());

        Assert.True(noticed.Wait(Timeouts.Limit), $"{noticed.CurrentCount} handlers have not noticed.");
    }

    [Fact]
    public async Task RequestHeadersTimeout_WhileAllHandlersBlock_StillComes()
    {
        await using KestrelHost host = await StartAsync(configure: builder =>
            builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(1)));
        using HttpClient blocking = host.CreateClient();
        Task<string>[] blocked = Block(blocking);
        Assert.True(_blocked.Wait(Timeouts.Limit), $"{_blocked.CurrentCount} handlers have not begun.");

        using Socket slow = await host.ConnectAsync();
        await slow.SendAsync("GET / HTTP/1.1\r\nHost");

        Assert.StartsWith("HTTP/1.1 408", await slow.ReceiveTextToEndAsync(), StringComparison.Ordinal);
        Assert.All(blocked, task => Assert.False(task.IsCompleted));
        _release.Set();
        await Task.WhenAll(blocked).OrTimeout();
    }

    [Fact]
    public async Task Shutdown_WhileHandlersBlockForEver_Ends()
    {
        KestrelHost host = await StartAsync();
        using HttpClient blocking = host.CreateClient();
        Task<string>[] blocked = Block(blocking);
        Assert.True(_blocked.Wait(Timeouts.Limit), $"{_blocked.CurrentCount} handlers have not begun.");

        // Stops with a limit of two seconds, as a host does with its own.
        await host.DisposeAsync();

        foreach (Task<string> task in blocked)
        {
            await Assert.ThrowsAnyAsync<Exception>(() => task.OrTimeout());
        }
    }

    [Fact]
    public async Task HandOff_OfALoop_IsLoggedAtDebugWithLoopTimeEndpointAndConnection()
    {
        string? connection = null;
        await using KestrelHost host = await StartAsync(
            options => options.LoopCount = 1,
            context =>
            {
                connection = context.Connection.Id;
                _release.Wait(Timeouts.Limit);
                return context.Response.WriteAsync("done");
            });
        using HttpClient client = host.CreateClient();
        Task<string> request = client.GetStringAsync(host.Address);

        LogEntry entry = await host.Logs.WaitForAsync(Adaptive, 30);

        _release.Set();
        await request.OrTimeout();
        Assert.Equal(LogLevel.Debug, entry.Level);
        Assert.Matches(
            $"^Event loop 0 was blocked for [0-9]+\\.[0-9] ms by connection id \"{connection}\" of 127\\.0\\.0\\.1:{host.Address.Port};", entry.Message);
    }

    [Fact]
    public async Task Metrics_TellHandOffsDispatchesDemotionsAndWorkers()
    {
        // Nothing is dear by its cost, such as that of being compiled: connections start on their loop until one was handed off.
        await using KestrelHost host = await StartAsync(options =>
        {
            options.LoopCount = 1;
            options.DemotionLimit = TimeSpan.FromMinutes(1);
        });
        var values = new Dictionary<string, double>();
        using var listener = new MeterListener();
        var meters = host.App.Services.GetRequiredService<IMeterFactory>();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter.Name == "KestrelEpollTransport" && ReferenceEquals(instrument.Meter.Scope, meters))
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => values[Name(instrument, tags)] = value);
        listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => values[Name(instrument, tags)] = value);
        listener.Start();
        using HttpClient client = host.CreateClient();
        for (int i = 0; i < 50; i++)
        {
            await client.GetStringAsync(new Uri("/", UriKind.Relative)).OrTimeout();
        }

        // One each, and not two.
        listener.RecordObservableInstruments();
        Assert.InRange(values["epoll_transport.dispatches/loop"] + values["epoll_transport.dispatches/worker"], 50, 99);

        Task<string>[] blocked = Block(client);
        Assert.True(_blocked.Wait(Timeouts.Limit), $"{_blocked.CurrentCount} handlers have not begun.");

        listener.RecordObservableInstruments();
        _release.Set();
        await Task.WhenAll(blocked).OrTimeout();

        Assert.InRange(values["epoll_transport.hand_offs"], 1, Blocked);
        Assert.InRange(values["epoll_transport.demotions"], 1, Blocked);
        Assert.InRange(values["epoll_transport.workers"], Blocked, Blocked + 32);
        Assert.InRange(values["epoll_transport.workers.busy"], 1, Blocked + 32);
        Assert.Equal(256, values["epoll_transport.workers.limit"]);
        Assert.InRange(values["epoll_transport.dispatches/loop"], 10, 1_000);
        Assert.InRange(values["epoll_transport.dispatches/worker"], 1, 1_000);
        Assert.Equal(0, values["epoll_transport.dispatches/thread_pool"]);
        Assert.Contains("epoll_transport.promotions", values.Keys);

        static string Name(Instrument instrument, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            foreach (KeyValuePair<string, object?> tag in tags)
            {
                if (tag.Key == "epoll_transport.thread")
                {
                    return $"{instrument.Name}/{tag.Value}";
                }
            }

            return instrument.Name;
        }
    }

    private static Task<string>[] Block(HttpClient client) =>
        [.. Enumerable.Range(0, Blocked).Select(_ => client.GetStringAsync(new Uri("/block", UriKind.Relative)))];

    private Task<KestrelHost> StartAsync(
        Action<EpollTransportOptions>? options = null, RequestDelegate? handler = null, Action<WebApplicationBuilder>? configure = null) =>
        KestrelHost.StartAsync(
            Adaptive,
            app => app.Run(handler ?? HandleAsync),
            configure: builder =>
            {
                builder.Services.Configure<EpollTransportOptions>(o =>
                {
                    o.LoopCount = 2;
                    options?.Invoke(o);
                });
                configure?.Invoke(builder);
            });

    private Task HandleAsync(HttpContext context)
    {
        if (context.Request.Path != "/block")
        {
            return context.Response.WriteAsync("cheap");
        }

        _blocked.Signal();
        _release.Wait(Timeouts.Limit);
        return context.Response.WriteAsync("blocked");
    }
}
