using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.ConnectionLimits;

/// <summary>Has <see cref="TimeLimits"/> look after each connection. One for an end point; any thread may call it.</summary>
internal sealed class TimeLimitMiddleware(ConnectionDelegate next, TimeLimits limits)
{
    public async Task OnConnectionAsync(ConnectionContext connection)
    {
        TimedConnection timed = limits.Add(connection);
        IDuplexPipe transport = connection.Transport;
        connection.Transport = new WatchedPipe(transport, timed);
        try
        {
            await next(connection).ConfigureAwait(false);
        }
        finally
        {
            limits.Remove(timed);
            connection.Transport = transport;
        }
    }
}
