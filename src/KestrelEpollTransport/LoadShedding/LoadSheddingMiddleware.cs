using System.Globalization;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Scheduling;
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
    private const int MaxQueues = IRequestQueue.FirstLoop + EpollTransportOptions.MaxLoopCount;

    private static readonly long s_warnEvery = TimeSpan.FromMinutes(1).Ticks;

    // By queue, how many the thread has refused in a row: workers serve several queues in turn.
    [ThreadStatic]
    private static int[]? s_refusedInARow;

    private readonly RequestDelegate _next;
    private readonly TimeSpan _target;
    private readonly TimeSpan _interval;
    private readonly Func<HttpContext, bool>? _exempt;
    private readonly ILogger _logger;
    private readonly LoadSheddingMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly StringValues _retryAfter;

    // One for each queue, made when it is first looked at.
    private readonly OverloadControl?[] _controls = new OverloadControl?[MaxQueues];

    // Any thread.
    private long _warnAt = long.MinValue;

    public LoadSheddingMiddleware(RequestDelegate next, LoadSheddingOptions options, ILogger logger, LoadSheddingMetrics metrics, TimeProvider time)
    {
        _next = next;
        _target = options.Target;
        _interval = options.Interval;
        _exempt = options.Exempt;
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
        int queue = connection?.Queue ?? IRequestQueue.Pool;
        if (queue == IRequestQueue.Unknown)
        {
            return _next(http);
        }

        OverloadControl control = ControlOf(queue);
        long waited = feature.Delay.Ticks;
        if (control.IsCalm(waited))
        {
            return _next(http);
        }

        ref int inARow = ref (s_refusedInARow ??= new int[MaxQueues])[queue];
        if (!Refuses(control, queue, waited, connection?.Pass, ref inARow))
        {
            return _next(http);
        }

        if (IsExempt(http))
        {
            inARow = 0;
            return _next(http);
        }

        connection?.OnRefused();
        _metrics.Refused();
        control.OnRefused();
        http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        http.Response.Headers.RetryAfter = _retryAfter;
        http.Response.ContentLength = 0;
        return Task.CompletedTask;
    }

    private bool Refuses(OverloadControl control, int queue, long waited, long? pass, ref int inARow)
    {
        long now = _time.GetElapsedTime(0).Ticks;
        bool refuses = control.Refuses(now, waited, pass, ref inARow, out OverloadNews news);
        if (news == OverloadNews.Began)
        {
            Warn(queue, now, TimeSpan.FromTicks(waited));
        }
        else if (news == OverloadNews.Ended)
        {
            long refused = control.TakeRefused();
            Tell(() => LoadSheddingLog.Ended(_logger, NameOf(queue), refused));
        }

        return refuses;
    }

    private bool IsExempt(HttpContext http) =>
        _exempt?.Invoke(http) == true || http.GetEndpoint()?.Metadata.GetMetadata<ExemptFromLoadSheddingAttribute>() is not null;

    private OverloadControl ControlOf(int queue) =>
        Volatile.Read(ref _controls[queue])
        ?? Interlocked.CompareExchange(ref _controls[queue], new OverloadControl(_target.Ticks, _interval.Ticks), null)
        ?? _controls[queue]!;

    private void Warn(int queue, long now, TimeSpan waited)
    {
        long warnAt = Volatile.Read(ref _warnAt);
        if (now >= warnAt && Interlocked.CompareExchange(ref _warnAt, now + s_warnEvery, warnAt) == warnAt)
        {
            Tell(() => LoadSheddingLog.Began(_logger, NameOf(queue), _interval.TotalMilliseconds, _target.TotalMilliseconds, waited.TotalMilliseconds));
        }
    }

    private static string NameOf(int queue) => queue switch
    {
        IRequestQueue.Pool => "thread pool",
        >= IRequestQueue.FirstLoop => string.Create(CultureInfo.InvariantCulture, $"loop {queue - IRequestQueue.FirstLoop}"),
        _ => (WorkLane)(queue - IRequestQueue.FirstLane) switch
        {
            WorkLane.Slow => "workers, for what may block",
            WorkLane.Quick => "workers, for what is quick",
            _ => "workers, for what computes for long",
        },
    };

    // A logger may block, and this may be the thread of a loop that has too much to do.
    private static void Tell(Action write) => Uninterrupted.QueueToPool(new LogElsewhere(write));
}
