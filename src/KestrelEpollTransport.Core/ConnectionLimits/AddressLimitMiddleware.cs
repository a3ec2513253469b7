using System.Net;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.ConnectionLimits;

/// <summary>Counts the connections of each network, and resets those that are too many. One for an end point; any thread may call it.</summary>
internal sealed class AddressLimitMiddleware(ConnectionDelegate next, AddressCounts counts, LimitReports reports)
{
    public Task OnConnectionAsync(ConnectionContext connection)
    {
        if (connection.RemoteEndPoint is not IPEndPoint { Address: var address })
        {
            return next(connection);
        }

        UInt128 network = counts.GetNetwork(address);
        if (counts.TryAdd(network))
        {
            return ServeAsync(connection, network);
        }

        // A reset leaves nothing behind: no descriptor that lingers, and no TIME_WAIT. Who comes too often is given no more than that.
        reports.Refused(connection.LocalEndPoint, counts.Most, address);
        connection.Abort(new ConnectionAbortedException("The client's address has as many connections as it may have."));
        return Task.CompletedTask;
    }

    private async Task ServeAsync(ConnectionContext connection, UInt128 network)
    {
        try
        {
            await next(connection).ConfigureAwait(false);
        }
        finally
        {
            counts.Remove(network);
        }
    }
}
