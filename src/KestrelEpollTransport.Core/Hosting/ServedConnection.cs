using KestrelEpollTransport.Diagnostics;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Hosting;

/// <summary>A connection while its handler runs, and how it is asked to end. Thread-safe.</summary>
#pragma warning disable CA1001 // A token source without a timer needs no disposal, and whoever has the connection may ask for its end at any time.
internal sealed class ServedConnection : IConnectionLifetimeNotificationFeature
#pragma warning restore CA1001
{
    private readonly ConnectionContext _connection;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _closing = new();

    public ServedConnection(ConnectionContext connection, ILogger logger)
    {
        _connection = connection;
        _logger = logger;
        ConnectionClosedRequested = _closing.Token;
    }

    public CancellationToken ConnectionClosedRequested { get; set; }

    /// <summary>Its handler has returned, and it is disposed of. Whoever starts the handler sets it.</summary>
    public Task Ended { get; set; } = Task.CompletedTask;

    public void RequestClose() => _closing.Cancel();

    /// <summary>The same on the thread pool, as application code may take its time; and what that throws is logged.</summary>
    public async Task AskToEndAsync()
    {
        try
        {
            await _closing.CancelAsync().ConfigureAwait(false);
        }
        catch (AggregateException exception)
        {
            ServerLog.EndCallbackFailed(_logger, _connection.ConnectionId, exception);
        }
    }

    public void Abort() => _connection.Abort(new ConnectionAbortedException("The host's shutdown time-out is over."));

    /// <summary>Runs the handler, and then disposes of the connection, which sends what is left. Does not throw.</summary>
    public async Task ServeAsync(ConnectionDelegate handler)
    {
        try
        {
            await using (_connection.ConfigureAwait(false))
            {
                await RunAsync(handler).ConfigureAwait(false);
            }
        }
#pragma warning disable CA1031 // The application's, whatever it is: it ends this connection and nothing else.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            ServerLog.HandlerFailed(_logger, _connection.ConnectionId, exception);
        }
    }

    private async Task RunAsync(ConnectionDelegate handler)
    {
        try
        {
            _connection.Features.Set<IConnectionLifetimeNotificationFeature>(this);
            await handler(_connection).ConfigureAwait(false);
        }
        catch (Exception exception) when (IsOrdinaryEnd(exception))
        {
            ServerLog.Ended(_logger, _connection, exception);
        }
    }

    /// <summary>The client has gone, or somebody has asked for the end; TLS puts the first into an exception of its own.</summary>
    /// <remarks>For as long as the connection is not disposed of: that cancels <c>ConnectionClosed</c>, too.</remarks>
    private bool IsOrdinaryEnd(Exception exception) =>
        exception is ConnectionResetException or ConnectionAbortedException
        || exception.InnerException is ConnectionResetException or ConnectionAbortedException
        || (exception is OperationCanceledException && (_closing.IsCancellationRequested || _connection.ConnectionClosed.IsCancellationRequested));
}
