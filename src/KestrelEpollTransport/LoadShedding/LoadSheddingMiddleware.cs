using System.Globalization;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;

namespace KestrelEpollTransport.LoadShedding;

/// <summary>
/// Answers 503 to what has waited for too long in a queue that is overloaded. Each queue is looked at for itself: behind handlers that block, the
/// loop of others is idle.
/// </summary>
internal sealed class LoadSheddingMiddleware
{
    private static readonly long s_warnEvery = TimeSpan.FromMinutes(1).Ticks;

    private readonly RequestDelegate _next;
    private readonly LoadSheddingOptions _options;
    private readonly ILogger _logger;
    private readonly LoadSheddingMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly StringValues _retryAfter;

    // One for each queue, made when it is first looked at.
    private readonly OverloadControl?[] _controls = new OverloadControl?[IRequestQueue.FirstLoop + EpollTransportOptions.MaxLoopCount];

    // Any thread.
    private long _warnAt = long.MinValue;
    private long _refused;

    public LoadSheddingMiddleware(RequestDelegate next, LoadSheddingOptions options, ILogger logger, LoadSheddingMetrics metrics, TimeProvider time)
    {
        _next = next;
        _options = options;
        _logger = logger;
        _metrics = metrics;
        _time = time;
        _retryAfter = Math.Ceiling(options.RetryAfter.TotalSeconds).ToString(CultureInfo.InvariantCulture);
    }

    public Task InvokeAsync(HttpContext http)
    {
        if (http.Features.Get<IQueueingDelayFeature>() is not { } feature)
        {
            return _next(http);
        }

        // The delay may be anybody's: of a transport that is put before this one, or a test.
        IRequestQueue? connection = feature as IRequestQueue;
        OverloadControl control = ControlOf(connection?.Queue ?? IRequestQueue.Pool);
        long waited = feature.Delay.Ticks;
        if (control.IsCalm(waited) || !Refuses(control, waited, connection?.Pass) || IsExempt(http))
        {
            return _next(http);
        }

        connection?.OnRefused();
        _metrics.Refused();
        Interlocked.Increment(ref _refused);
        http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        http.Response.Headers.RetryAfter = _retryAfter;
        http.Response.ContentLength = 0;
        return Task.CompletedTask;
    }

    private bool Refuses(OverloadControl control, long waited, long? pass)
    {
        long now = _time.GetElapsedTime(0).Ticks;
        bool refuses = control.Refuses(now, waited, pass, out OverloadNews news);
        if (news == OverloadNews.Began)
        {
            Warn(now, TimeSpan.FromTicks(waited));
        }
        else if (news == OverloadNews.Ended)
        {
            long refused = Interlocked.Exchange(ref _refused, 0);
            Tell(() => LoadSheddingLog.Ended(_logger, refused));
        }

        return refuses;
    }

    private bool IsExempt(HttpContext http) =>
        _options.Exempt?.Invoke(http) == true || http.GetEndpoint()?.Metadata.GetMetadata<ExemptFromLoadSheddingAttribute>() is not null;

    private OverloadControl ControlOf(int queue) =>
        Volatile.Read(ref _controls[queue])
        ?? Interlocked.CompareExchange(ref _controls[queue], new OverloadControl(_options.Target.Ticks, _options.Interval.Ticks), null)
        ?? _controls[queue]!;

    private void Warn(long now, TimeSpan waited)
    {
        long warnAt = Volatile.Read(ref _warnAt);
        if (now >= warnAt && Interlocked.CompareExchange(ref _warnAt, now + s_warnEvery, warnAt) == warnAt)
        {
            Tell(() => LoadSheddingLog.Began(_logger, _options.Interval.TotalMilliseconds, _options.Target.TotalMilliseconds, waited.TotalMilliseconds));
        }
    }

    // A logger may block, and this may be the thread of a loop that has too much to do.
    private static void Tell(Action write) => Uninterrupted.QueueToPool(new LogElsewhere(write));
}
