using System.Net.Sockets;
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
    /// <summary>
    /// How long a client may take for what is left to be sent when the handler has returned. Nobody limits the connection any more, and one
    /// whose receive window stays closed would hold its descriptor for ever (a zero window is answered: tcp(7) gives up nothing).
    /// </summary>
    public static readonly TimeSpan SendTimeout = TimeSpan.FromSeconds(30);

    /// <summary>
    /// A connection that has just been accepted is asked to end a little later: its first request may be in the kernel, and a handler that
    /// passes the token to its read would end without having looked.
    /// </summary>
    private const int YoungMs = 500;

    private readonly long _startedMs = Environment.TickCount64;
    private readonly ConnectionContext _connection;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _closing = new();

    public ServedConnection(ConnectionContext connection, TimeProvider time, ILogger logger)
    {
        _connection = connection;
        _time = time;
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
        long youngMs = YoungMs - (Environment.TickCount64 - _startedMs);
        if (youngMs > 0)
        {
            await Task.WhenAny(Ended, Task.Delay((int)youngMs)).ConfigureAwait(false);
        }

        try
        {
            await _closing.CancelAsync().ConfigureAwait(false);
        }
        catch (AggregateException exception)
        {
            ServerLog.StopCallbackFailed(_logger, _connection.ConnectionId, exception);
        }
    }

    public void Abort() => _connection.Abort(new ConnectionAbortedException("The host's shutdown time-out is over."));

    /// <summary>Runs the handler, and then disposes of the connection, which sends what is left. Does not throw.</summary>
    public async Task ServeAsync(ConnectionDelegate handler)
    {
        try
        {
            try
            {
                await RunAsync(handler).ConfigureAwait(false);
            }
            finally
            {
                await EndAsync().ConfigureAwait(false);
            }
        }
#pragma warning disable CA1031 // The application's, whatever it is: it ends this connection and nothing else.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            ServerLog.HandlerFailed(_logger, _connection.ConnectionId, exception);
        }
    }

    private async Task EndAsync()
    {
        Task ended = _connection.DisposeAsync().AsTask();
        await ended.WaitAsync(SendTimeout, _time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!ended.IsCompleted)
        {
            _connection.Abort(new ConnectionAbortedException($"The client did not take what was left to be sent within {SendTimeout.TotalSeconds} s."));
        }

        await ended.ConfigureAwait(false);
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

    /// <summary>The client or its network has gone, or somebody has asked for the end; TLS puts the first into an exception of its own.</summary>
    /// <remarks>For as long as the connection is not disposed of: that cancels <c>ConnectionClosed</c>, too.</remarks>
    private bool IsOrdinaryEnd(Exception exception) =>
        exception is ConnectionResetException or ConnectionAbortedException
        || exception.InnerException is ConnectionResetException or ConnectionAbortedException
        || ((exception is SocketException || exception.InnerException is SocketException) && _connection.ConnectionClosed.IsCancellationRequested)
        || (exception is OperationCanceledException && (_closing.IsCancellationRequested || _connection.ConnectionClosed.IsCancellationRequested));
}
