using System.Net;

namespace RestartTool;

/// <summary>One client, which asks again and again until it is told to stop. What is one request, and on which connection, is its kind's.</summary>
internal abstract class Client(Figures figures, IPEndPoint server) : IDisposable
{
    /// <summary>What a request may take, with the machine's other work and a process that starts.</summary>
    protected static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    protected Figures Figures { get; } = figures;

    protected IPEndPoint Server { get; } = server;

    public async Task RunAsync(int pauseMs, CancellationToken stop)
    {
        try
        {
            // Not all at once, and then evenly.
            await Task.Delay(Random.Shared.Next(pauseMs * 2), stop);
            while (!stop.IsCancellationRequested)
            {
                await AskNotingAsync();
                await Task.Delay(Random.Shared.Next(pauseMs / 2, pauseMs * 3 / 2), stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The pause ended.
        }
        finally
        {
            Dispose();
        }
    }

    public virtual void Dispose()
    {
        Drop();
        GC.SuppressFinalize(this);
    }

    /// <summary>One request. Throws what failed.</summary>
    protected abstract Task AskAsync(CancellationToken timeout);

    /// <summary>Closes the connection, if there is one.</summary>
    protected abstract void Drop();

    private async Task AskNotingAsync()
    {
        using var timeout = new CancellationTokenSource(Limit);
        try
        {
            await AskAsync(timeout.Token);
        }
#pragma warning disable CA1031 // Whatever it is, it is counted and printed, and fails the run.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Figures.NoteFailure(GetType().Name, exception);
            Drop();
        }
    }
}
