using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>Tells how the requests of an application ended, in their order.</summary>
internal sealed class RequestEnds
{
    private readonly Channel<bool> _aborted = Channel.CreateUnbounded<bool>();

    public void Watch(WebApplication app) => app.Use(async (context, next) =>
    {
        try
        {
            await next(context);
        }
        finally
        {
            _aborted.Writer.TryWrite(context.RequestAborted.IsCancellationRequested);
        }
    });

    /// <summary>Waits for the next one, and tells whether its client had given it up.</summary>
    public Task<bool> NextWasAbortedAsync() => _aborted.Reader.ReadAsync().OrTimeout();
}
