using Microsoft.AspNetCore.Builder;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>Tells when the requests of an application have ended, one by one.</summary>
internal sealed class RequestEnds : IDisposable
{
    private readonly SemaphoreSlim _ended = new(0);

    public void Watch(WebApplication app) => app.Use(async (context, next) =>
    {
        try
        {
            await next(context);
        }
        finally
        {
            _ended.Release();
        }
    });

    public Task NextAsync() => _ended.WaitAsync().OrTimeout();

    public void Dispose() => _ended.Dispose();
}
