using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>How long requests say that they have waited.</summary>
[Collection(RunsAlone.Name)]
public sealed class QueueingDelayTests : IDisposable
{
    private const string None = "none";

    /// <summary>Less than what an inline loop, or a queue without a worker, does something about.</summary>
    private static readonly TimeSpan s_hold = TimeSpan.FromMilliseconds(60);

    private readonly ManualResetEventSlim _release = new();
    private readonly SemaphoreSlim _held = new(0);

    public void Dispose()
    {
        _release.Set();
        _release.Dispose();
        _held.Dispose();
    }

    [Theory, AllTransports]
    public async Task Requests_HaveTheFeature_OnTheTransportThatKnows(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind);
        using HttpClient client = host.CreateClient();
        for (int i = 0; i < 3; i++)
        {
            string delay = await client.GetStringAsync(host.Address).OrTimeout();
            Assert.Equal(kind.IsOurs(), delay != None);
        }
    }

    [Theory, EpollTransports("Sockets tells no delays.")]
    public async Task Streams_OfHttp2_HaveTheFeature(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind, listen: static listen => listen.Protocols = HttpProtocols.Http2);
        using HttpClient client = host.CreateClient(HttpVersion.Version20);
        for (int i = 0; i < 3; i++)
        {
            Assert.InRange(Milliseconds(await client.GetStringAsync(host.Address).OrTimeout()), 0, Timeouts.Limit.TotalMilliseconds);
        }
    }

    [Theory, EpollTransports("Sockets tells no delays.")]
    public async Task Delay_AfterTheLoopHasSlept_IsNotTheSleep(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind);
        using HttpClient client = host.CreateClient();
        await client.GetStringAsync(host.Address).OrTimeout();
        long asked = Stopwatch.GetTimestamp();
        await Task.Delay(TimeSpan.FromSeconds(2));
        TimeSpan slept = Stopwatch.GetElapsedTime(asked);

        Assert.InRange(Milliseconds(await client.GetStringAsync(host.Address).OrTimeout()), 0, slept.TotalMilliseconds / 2);
    }

    [Fact]
    public async Task Delay_BehindAHandlerThatKeepsTheLoop_IsAtLeastThat_AndNotMuchMore()
    {
        await using KestrelHost host = await StartAsync(TransportKind.EpollInline, static options => options.LoopCount = 1);
        using Socket holding = await host.ConnectAsync();
        using Socket waiting = await host.ConnectAsync();
        await AskAsync(holding, "/");
        await AskAsync(waiting, "/");

        using var metrics = new MetricsRecorder(host.App.Services);
        long began = Stopwatch.GetTimestamp();
        double delay = await WaitBehindAsync(holding, waiting);

        TimeSpan most = Stopwatch.GetElapsedTime(began);
        Assert.InRange(delay, s_hold.TotalMilliseconds, most.TotalMilliseconds);
        Assert.InRange(metrics["queueing.duration", "loop"], s_hold.TotalSeconds, most.TotalSeconds * 2);
    }

    [Fact]
    public async Task Delay_OfARequestThatWaitsForAWorker_HasThatWait()
    {
        await using KestrelHost host = await StartAsync(TransportKind.EpollAdaptive, static options =>
        {
            options.LoopCount = 1;
            options.MaxWorkers = 1;
        });
        using Socket holding = await host.ConnectAsync();
        using Socket waiting = await host.ConnectAsync();
        await BlockUntilItRunsOnAWorkerAsync(holding);
        await BlockUntilItRunsOnAWorkerAsync(waiting);

        using var metrics = new MetricsRecorder(host.App.Services);
        long began = Stopwatch.GetTimestamp();
        double delay = await WaitBehindAsync(holding, waiting, () => Net.UntilAsync(() => metrics["queue.length", "worker"] == 1));

        TimeSpan most = Stopwatch.GetElapsedTime(began);
        Assert.InRange(delay, s_hold.TotalMilliseconds, most.TotalMilliseconds);
        Assert.InRange(metrics["queueing.duration", "worker"], s_hold.TotalSeconds, most.TotalSeconds * 2);
        await Net.UntilAsync(() => metrics["queue.length", "worker"] == 0);
    }

    [Theory, EpollTransports("Sockets tells no delays.")]
    public async Task Delay_OfPipelinedRequests_IsThatOfTheFirst(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind);
        using Socket client = await host.ConnectAsync();
        await AskAsync(client, "/");

        // One segment, and so one read.
        const int Requests = 8;
        await client.SendAsync(string.Concat(Enumerable.Repeat(Request("/burn"), Requests)));
        string[] delays = [await ReceiveAsync(client)];
        while (delays.Length < Requests)
        {
            delays = [.. delays, await ReceiveAsync(client)];
        }

        Assert.Single(delays.Distinct());
    }

    [Theory, EpollTransports("Sockets tells no delays.", false), EpollTransports("Sockets tells no delays.", true)]
    public async Task Histogram_HasEachDispatch_ByWhereItRan_AndAListenerThatThrowsHarmsNobody(TransportKind kind, bool throws)
    {
        await using KestrelHost host = await StartAsync(kind);
        var measured = new System.Collections.Concurrent.ConcurrentQueue<(double Seconds, object? Thread)>();
        using var listener = new MeterListener();
        var meters = host.App.Services.GetRequiredService<IMeterFactory>();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Name == "epoll_transport.queueing.duration" && ReferenceEquals(instrument.Meter.Scope, meters))
            {
                Assert.Equal("s", instrument.Unit);
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<double>((_, seconds, tags, _) =>
        {
            measured.Enqueue((seconds, tags.ToArray().Single(static tag => tag.Key == "epoll_transport.thread").Value));
            if (throws)
            {
                throw new InvalidOperationException("a listener of the application");
            }
        });
        listener.Start();
        using HttpClient client = host.CreateClient();
        for (int i = 0; i < 20; i++)
        {
            Assert.NotEqual(None, await client.GetStringAsync(host.Address).OrTimeout());
        }

        // One each, and not two.
        Assert.InRange(measured.Count, 20, 39);
        Assert.All(measured, static one => Assert.InRange(one.Seconds, 0, Timeouts.Limit.TotalSeconds));
        string[] threads = kind.Scheduling() switch
        {
            ApplicationScheduling.ThreadPool => ["thread_pool"],
            ApplicationScheduling.UnsafeInline => ["loop"],
            _ => ["loop", "worker", "thread_pool"],
        };
        Assert.All(measured, one => Assert.Contains((string)one.Thread!, threads));
        host.AssertTransportWasCalm();
    }

    private Task<KestrelHost> StartAsync(TransportKind kind, Action<EpollTransportOptions>? configure = null, Action<ListenOptions>? listen = null) =>
        KestrelHost.StartAsync(kind, app => app.Run(AnswerAsync), listen, builder => builder.Services.Configure<EpollTransportOptions>(options => configure?.Invoke(options)));

    // Answers the delay, in ms, and on which thread.
    private Task AnswerAsync(HttpContext http)
    {
        string answer = http.Features.Get<IQueueingDelayFeature>() is { } feature
            ? feature.Delay.TotalMilliseconds.ToString("R", CultureInfo.InvariantCulture)
            : None;
        switch (http.Request.Path)
        {
            case "/hold":
                _held.Release();
                _release.Wait(Timeouts.Limit);
                break;
            case "/sleep":
                // What blocks, and so leaves the loop.
                Thread.Sleep(2);
                answer = Thread.CurrentThread.Name ?? "";
                break;
            case "/burn":
                SpinWait.SpinUntil(static () => false, millisecondsTimeout: 1);
                break;
            default:
                break;
        }

        http.Response.ContentLength = answer.Length;
        return http.Response.WriteAsync(answer);
    }

    // One request keeps what the next one, of another connection, needs, for a while.
    private async Task<double> WaitBehindAsync(Socket holding, Socket waiting, Func<Task>? meanwhile = null)
    {
        await holding.SendAsync(Request("/hold"));
        Assert.True(await _held.WaitAsync(Timeouts.Limit), "The handler was not entered.");
        await waiting.SendAsync(Request("/"));
        long sent = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(sent) < s_hold)
        {
            await Task.Delay(1);
        }

        await (meanwhile?.Invoke() ?? Task.CompletedTask);
        _release.Set();
        await ReceiveAsync(holding);
        return Milliseconds(await ReceiveAsync(waiting));
    }

    private static async Task BlockUntilItRunsOnAWorkerAsync(Socket client)
    {
        string thread = "";
        for (int i = 0; i < 200 && !thread.StartsWith("epoll worker", StringComparison.Ordinal); i++)
        {
            thread = await AskAsync(client, "/sleep");
        }

        Assert.StartsWith("epoll worker", thread, StringComparison.Ordinal);
    }

    private static string Request(string path) => $"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n";

    private static async Task<string> AskAsync(Socket client, string path)
    {
        await client.SendAsync(Request(path));
        return await ReceiveAsync(client);
    }

    // The body of one answer.
    private static async Task<string> ReceiveAsync(Socket client)
    {
        var head = new StringBuilder();
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            head.Append(await client.ReceiveTextAsync(1));
        }

        string length = head.ToString().Split("Content-Length: ")[1].Split('\r')[0];
        return await client.ReceiveTextAsync(int.Parse(length, CultureInfo.InvariantCulture));
    }

    private static double Milliseconds(string delay) => double.Parse(delay, CultureInfo.InvariantCulture);
}
