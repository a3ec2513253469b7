using System.Threading.Channels;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Listening;

/// <summary>Connections that are accepted and not yet taken. How many is for the listener to bound. Thread-safe.</summary>
/// <param name="metrics">The transport's.</param>
internal sealed class AcceptedQueue(TransportMetrics metrics)
{
    private readonly Channel<EpollConnection> _channel = Channel.CreateUnbounded<EpollConnection>();

    public int Count => _channel.Reader.Count;

    /// <summary>Adds a connection, or discards it if <see cref="End"/> came first.</summary>
    public void Add(EpollConnection connection)
    {
        if (!Uninterrupted.Call((_channel.Writer, connection), static on => on.Writer.TryWrite(on.connection)))
        {
            Discard(connection);
        }
    }

    /// <summary>Waits until there is something to take. False: nothing comes any more.</summary>
    /// <exception cref="Exception">The reason of <see cref="End"/>.</exception>
    public ValueTask<bool> WaitAsync(CancellationToken cancellationToken) =>
        Uninterrupted.Call((_channel.Reader, cancellationToken), static on => on.Reader.WaitToReadAsync(on.cancellationToken));

    /// <summary>Null: there is none at the moment.</summary>
    public EpollConnection? TryTake() =>
        Uninterrupted.Call(_channel.Reader, static reader => reader.TryRead(out EpollConnection? connection) ? connection : null);

    /// <summary>Nothing is added any more. What is there can be taken. Only the first reason counts.</summary>
    public void End(Exception? reason) => Uninterrupted.Call((_channel.Writer, reason), static on => on.Writer.TryComplete(on.reason));

    /// <summary>Aborts what nobody has taken.</summary>
    public void DiscardAll()
    {
        while (TryTake() is { } connection)
        {
            Discard(connection);
        }
    }

    private void Discard(EpollConnection connection)
    {
        metrics.Refused(RefusedConnections.Unbound);
        connection.Discard(new ConnectionAbortedException("The endpoint was unbound before the connection was taken."));
    }
}
