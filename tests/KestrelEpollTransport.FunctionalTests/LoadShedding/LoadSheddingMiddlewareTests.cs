using System.Diagnostics.Metrics;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.LoadShedding;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests.LoadShedding;

/// <summary>What the middleware answers, and to whom, where requests say that they have waited for as long as the test wants.</summary>
public sealed class LoadSheddingMiddlewareTests : IDisposable
{
    private readonly ManualTime _time = new();
    private readonly LogRecorder _logs = new();

    public void Dispose() => _logs.Dispose();

    [Fact]
    public async Task Overload_IsAnswered503WithRetryAfter_WithoutTheApplication()
    {
        Pipeline pipeline = Build(static options => options.RetryAfter = TimeSpan.FromSeconds(1.5));
        await OverloadAsync(pipeline);
        int served = pipeline.Served;

        HttpContext refused = await pipeline.AskAsync(waitedMs: 6);

        Assert.Equal(StatusCodes.Status503ServiceUnavailable, refused.Response.StatusCode);
        Assert.Equal("2", refused.Response.Headers.RetryAfter);
        Assert.Equal(0, refused.Response.ContentLength);
        Assert.Equal(served, pipeline.Served);
    }

    [Fact]
    public async Task Overload_LeavesThoseAloneThatHaveNotWaited_AndThoseOfAnotherTransport()
    {
        Pipeline pipeline = Build();
        await OverloadAsync(pipeline);

        Assert.Equal(StatusCodes.Status200OK, (await pipeline.AskAsync(waitedMs: 2)).Response.StatusCode);
        Assert.Equal(StatusCodes.Status200OK, (await pipeline.AskAsync(waitedMs: null)).Response.StatusCode);
        Assert.Equal(StatusCodes.Status503ServiceUnavailable, (await pipeline.AskAsync(waitedMs: 6)).Response.StatusCode);
    }

    [Fact]
    public async Task Overload_ServesWhatIsExempt_ByThePredicateOrTheEndpoint()
    {
        Pipeline pipeline = Build(static options => options.Exempt = static http => http.Request.Path.StartsWithSegments("/health"));
        await OverloadAsync(pipeline);
        var exempt = new Endpoint(null, new EndpointMetadataCollection(new ExemptFromLoadSheddingAttribute()), "exempt");
        var other = new Endpoint(null, EndpointMetadataCollection.Empty, "other");

        Assert.Equal(StatusCodes.Status200OK, (await pipeline.AskAsync(6, http => http.Request.Path = "/health/live")).Response.StatusCode);
        Assert.Equal(StatusCodes.Status200OK, (await pipeline.AskAsync(6, http => http.SetEndpoint(exempt))).Response.StatusCode);
        Assert.Equal(StatusCodes.Status503ServiceUnavailable, (await pipeline.AskAsync(6, http => http.Request.Path = "/healthy")).Response.StatusCode);
        Assert.Equal(StatusCodes.Status503ServiceUnavailable, (await pipeline.AskAsync(6, http => http.SetEndpoint(other))).Response.StatusCode);
    }

    [Fact]
    public void ExemptFromLoadShedding_GivesTheEndpointItsMetadata()
    {
        WebApplication app = WebApplication.CreateSlimBuilder().Build();
        app.MapGet("/", static () => "x").ExemptFromLoadShedding();

        Endpoint endpoint = ((IEndpointRouteBuilder)app).DataSources.SelectMany(static source => source.Endpoints).Single();

        Assert.NotNull(endpoint.Metadata.GetMetadata<ExemptFromLoadSheddingAttribute>());
    }

    [Fact]
    public async Task Overloads_AreToldByOneWarningAMinute_AndTheirEndsAtDebug()
    {
        Pipeline pipeline = Build();
        for (int i = 0; i < 3; i++)
        {
            await OverloadAsync(pipeline);
            _time.Advance(TimeSpan.FromSeconds(1));
            await pipeline.AskAsync(waitedMs: 0);
        }

        _time.Advance(TimeSpan.FromMinutes(1));
        await OverloadAsync(pipeline);

        // The log is written on the pool, in any order.
        int ended = 0;
        int began = 0;
        await _logs.WaitForAsync(entry =>
        {
            ended += entry.Id == 81 ? 1 : 0;
            began += entry.Id == 80 ? 1 : 0;
            return began == 2 && ended == 3;
        }).OrTimeout();
        Assert.All(_logs.All(), static entry => Assert.Equal(entry.Id == 80 ? LogLevel.Warning : LogLevel.Debug, entry.Level));
        Assert.Contains("Overloaded (thread pool): for 100 ms the queue has not been shorter than 5.0 ms", _logs.All().First(static entry => entry.Id == 80).Message, StringComparison.Ordinal);
        Assert.Equal(5, _logs.All().Count);
    }

    [Fact]
    public async Task Options_AreReadOnce()
    {
        LoadSheddingOptions kept = null!;
        Pipeline pipeline = Build(options => kept = options);
        kept.Target = kept.Interval = TimeSpan.FromMinutes(1);
        kept.Exempt = static _ => true;

        await OverloadAsync(pipeline);

        Assert.Equal(StatusCodes.Status503ServiceUnavailable, (await pipeline.AskAsync(waitedMs: 6)).Response.StatusCode);
    }

    [Fact]
    public async Task Requests_OfWhichNoQueueIsKnown_AreServed()
    {
        Pipeline pipeline = Build();
        await OverloadAsync(pipeline);

        HttpContext served = await pipeline.AskAsync(waitedMs: null, static http => http.Features.Set<IQueueingDelayFeature>(new Unknown()));

        Assert.Equal(StatusCodes.Status200OK, served.Response.StatusCode);
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Refusals_AreCounted_AndAListenerThatThrowsChangesNone(bool throws)
    {
        using ServiceProvider services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var meters = services.GetRequiredService<IMeterFactory>();
        long counted = 0;
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Name == "epoll_transport.requests.shed" && ReferenceEquals(instrument.Meter.Scope, meters))
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((_, value, _, _) =>
        {
            counted += value;
            if (throws)
            {
                throw new InvalidOperationException("a listener of the application");
            }
        });
        listener.Start();
        Pipeline pipeline = Build(meters: meters);

        await OverloadAsync(pipeline);
        await pipeline.AskAsync(waitedMs: 6);

        Assert.InRange(counted, 1, 1_000);
        Assert.Equal(pipeline.Refused, counted);
    }

    [Theory]
    [InlineData(nameof(LoadSheddingOptions.Target), 0.05), InlineData(nameof(LoadSheddingOptions.Target), 60_001)]
    [InlineData(nameof(LoadSheddingOptions.Interval), 9), InlineData(nameof(LoadSheddingOptions.Interval), 60_001)]
    [InlineData(nameof(LoadSheddingOptions.RetryAfter), 999), InlineData(nameof(LoadSheddingOptions.RetryAfter), 86_400_001)]
    public void UseLoadShedding_OptionOutOfItsLimits_IsRefusedByName(string option, double milliseconds)
    {
        using WebApplication app = WebApplication.CreateSlimBuilder().Build();

        var error = Assert.Throws<OptionsValidationException>(() => app.UseLoadShedding(
            options => typeof(LoadSheddingOptions).GetProperty(option)!.SetValue(options, TimeSpan.FromMilliseconds(milliseconds))));

        Assert.StartsWith($"LoadSheddingOptions.{option} is ", error.Message, StringComparison.Ordinal);
    }

    private async Task OverloadAsync(Pipeline pipeline)
    {
        for (int i = 0; i < 150; i++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(1));
            await pipeline.AskAsync(waitedMs: 6);
        }
    }

    private Pipeline Build(Action<LoadSheddingOptions>? configure = null, IMeterFactory? meters = null)
    {
        var options = new LoadSheddingOptions();
        configure?.Invoke(options);
        return new Pipeline(next => new LoadSheddingMiddleware(next, options, _logs.CreateLogger("x"), new LoadSheddingMetrics(meters), _time).InvokeAsync);
    }

    private sealed class Pipeline
    {
        private readonly RequestDelegate _application;

        public Pipeline(Func<RequestDelegate, RequestDelegate> middleware) => _application = middleware(_ =>
        {
            Served++;
            return Task.CompletedTask;
        });

        public int Served { get; private set; }

        public int Refused { get; private set; }

        public async Task<HttpContext> AskAsync(double? waitedMs, Action<HttpContext>? set = null)
        {
            var http = new DefaultHttpContext();
            set?.Invoke(http);
            if (waitedMs is { } waited)
            {
                http.Features.Set<IQueueingDelayFeature>(new Waited(TimeSpan.FromMilliseconds(waited)));
            }

            await _application(http).OrTimeout();
            Refused += http.Response.StatusCode == StatusCodes.Status503ServiceUnavailable ? 1 : 0;
            return http;
        }
    }

    private sealed class Unknown : IRequestQueue
    {
        public TimeSpan Delay => TimeSpan.FromMilliseconds(6);

        public int Queue => IRequestQueue.Unknown;

        public long? Pass => null;

        public void OnRefused() => Assert.Fail("It was refused.");
    }

    private sealed record Waited(TimeSpan Delay) : IQueueingDelayFeature;

    private sealed class ManualTime : TimeProvider
    {
        private long _ticks = TimeSpan.TicksPerDay;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _ticks;

        public void Advance(TimeSpan time) => _ticks += time.Ticks;
    }
}
