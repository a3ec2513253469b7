using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Hosting;

/// <summary>The connections of a server that have not ended. <see cref="Serve"/> is for any thread, the rest for when accepting has ended.</summary>
internal sealed class ConnectionSet(TimeProvider time, ILogger logger)
{
    private readonly ConcurrentDictionary<ServedConnection, bool> _served = new();

    public int Count => _served.Count;

    /// <summary>Gives the connection to its handler, on the thread pool: who accepts is not kept waiting.</summary>
    public void Serve(ConnectionContext connection, ConnectionDelegate handler)
    {
        // In the set before it can end, and be removed.
        ServedConnection served = new(connection, time, logger);
        _served[served] = true;
        served.Ended = Task.Run(async () =>
        {
            await served.ServeAsync(handler).ConfigureAwait(false);
            _served.TryRemove(served, out _);
        });
    }

    public void AskToEnd()
    {
        foreach (ServedConnection served in _served.Keys)
        {
            _ = served.AskToEndAsync();
        }
    }

    public void Abort()
    {
        foreach (ServedConnection served in _served.Keys)
        {
            served.Abort();
        }
    }

    public Task WhenEndedAsync() => Task.WhenAll(_served.Keys.Select(static served => served.Ended));
}
