using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace KestrelEpollTransport.ConnectionLimits;

/// <summary>Has <see cref="TimeLimits"/> look after each connection. One for an end point; any thread may call it.</summary>
internal sealed class TimeLimitMiddleware(ConnectionDelegate next, TimeLimits limits)
{
    public async Task OnConnectionAsync(ConnectionContext connection)
    {
        IDuplexPipe transport = connection.Transport;
        IConnectionTransportFeature? feature = connection.Features.Get<IConnectionTransportFeature>();
        TimedConnection timed = limits.Add(connection);
        WatchedConnection watched = new(connection, timed);
        connection.Features.Set<IConnectionTransportFeature>(watched);
        try
        {
            await next(watched).ConfigureAwait(false);
        }
        finally
        {
            limits.Remove(timed);
            connection.Features.Set(feature);
            connection.Transport = transport;
        }
    }
}
