using System.Runtime.CompilerServices;
using KestrelEpollTransport.Connections;
using Microsoft.AspNetCore.Http;

namespace KestrelEpollTransport;

/// <summary>
/// Runs the rest of each request under the <see cref="ApplicationContext"/> of its connection, and on the
/// transport's threads: where it is on one already it stays, and what comes from the thread pool (HTTP/2 streams) moves first. A request on a
/// connection that has none, as of another transport or HTTP/3, just goes on.
/// </summary>
internal sealed class TransportSchedulingMiddleware(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext http)
    {
        ApplicationContext? context = http.Features.Get<ApplicationContext>();
        return context is null || SynchronizationContext.Current == context ? next(http) : RunAsync(http, context);
    }

    private async Task RunAsync(HttpContext http, ApplicationContext context)
    {
        if (context.IsRunningHere)
        {
            // Ends with this method's first wait: the caller goes on as it came.
            SynchronizationContext.SetSynchronizationContext(context);
        }
        else
        {
            await new MoveTo(context);
        }

        try
        {
            // Under the context, so that this ends on the transport's threads wherever the application ended.
            await next(http);
        }
        finally
        {
            // Whoever awaits this has captured no context. The runtime would send that to the thread pool from under ours, and with it
            // the end of the response and the next read.
            SynchronizationContext.SetSynchronizationContext(null);
        }
    }

    /// <summary>Awaited, goes on under a context.</summary>
    private readonly struct MoveTo(ApplicationContext context) : ICriticalNotifyCompletion
    {
        public bool IsCompleted => false;

        public MoveTo GetAwaiter() => this;

        public void GetResult()
        {
        }

        public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

        public void UnsafeOnCompleted(Action continuation) => context.Start(continuation);
    }
}
