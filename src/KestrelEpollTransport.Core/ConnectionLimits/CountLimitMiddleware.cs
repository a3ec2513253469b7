using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.ConnectionLimits;

/// <summary>Counts the connections of an end point, and resets those that are too many. One for an end point; any thread may call it.</summary>
internal sealed class CountLimitMiddleware(ConnectionDelegate next, int most, LimitReports reports)
{
    private int _count;

    public Task OnConnectionAsync(ConnectionContext connection)
    {
        // Who is refused is never counted, not for a moment: a flood of those would take the places of others.
        int count = Volatile.Read(ref _count);
        while (count < most)
        {
            int seen = Interlocked.CompareExchange(ref _count, count + 1, count);
            if (seen == count)
            {
                return ServeAsync(connection);
            }

            count = seen;
        }

        reports.Refused(connection.LocalEndPoint, most);
        connection.Abort(new ConnectionAbortedException("The end point has as many connections as it may have."));
        return Task.CompletedTask;
    }

    private async Task ServeAsync(ConnectionContext connection)
    {
        try
        {
            await next(connection).ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref _count);
        }
    }
}
