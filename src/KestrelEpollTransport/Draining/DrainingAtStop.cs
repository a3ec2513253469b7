using Microsoft.Extensions.Hosting;

namespace KestrelEpollTransport.Draining;

/// <summary>Drains when the host begins to stop: the server, like every other service, is stopped only when this is done.</summary>
internal sealed class DrainingAtStop(ConnectionDraining draining, IHostApplicationLifetime lifetime) : IHostedLifecycleService
{
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        // Host.StopAsync says it only behind this, and whoever ends WebSockets then would wait for the end of the draining.
        lifetime.StopApplication();
        try
        {
            await draining.DrainAsync(cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The host has no more time; it does what is left at once.
        }
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
