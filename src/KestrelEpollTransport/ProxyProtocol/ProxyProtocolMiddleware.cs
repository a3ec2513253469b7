using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.ObjectPool;

namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>
/// Reads the header of each connection of a trusted source before anybody else reads, and passes on what is behind it. One for all
/// connections of an end point; any thread may call it.
/// </summary>
internal sealed class ProxyProtocolMiddleware
{
    private readonly ConnectionDelegate _next;
    private readonly ILogger _logger;
    private readonly TrustedSources _trusted;
    private readonly ProxyProtocolMode _mode;
    private readonly TimeSpan _timeout;
    private readonly int _maxSize;
    private readonly ObjectPool<CancellationTokenSource> _timeouts = new DefaultObjectPool<CancellationTokenSource>(new HeaderTimeouts());

    public ProxyProtocolMiddleware(ConnectionDelegate next, ProxyProtocolOptions options, ILogger logger)
    {
        _next = next;
        _logger = logger;
        _trusted = new TrustedSources(options);
        _mode = options.Mode;
        _timeout = options.HeaderTimeout;
        _maxSize = options.MaxHeaderSize;
    }

    public Task OnConnectionAsync(ConnectionContext connection)
    {
        if (_trusted.Contains(connection.RemoteEndPoint))
        {
            return ServeBehindHeaderAsync(connection);
        }

        if (_mode != ProxyProtocolMode.Required)
        {
            return _next(connection);
        }

        Refuse(connection, "A PROXY protocol header is required, and the source is not trusted.");
        return Task.CompletedTask;
    }

    private async Task ServeBehindHeaderAsync(ConnectionContext connection)
    {
        if (await TryTakeHeaderAsync(connection))
        {
            await _next(connection);
        }
    }

    /// <summary>Returns whether the connection may go on. If not, it has been refused and logged.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> TryTakeHeaderAsync(ConnectionContext connection)
    {
        CancellationTokenSource timeout = _timeouts.Get();
        try
        {
            return await TryTakeHeaderAsync(connection, timeout);
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested)
        {
            Refuse(connection, "The PROXY protocol header did not come in time.");
            return false;
        }
        catch (Exception exception) when (exception is IOException or SocketException or OperationCanceledException)
        {
            // The connection broke, or the server aborted it; nobody is left to serve.
            Log(connection, "It ended before its PROXY protocol header.");
            return false;
        }
        finally
        {
            _timeouts.Return(timeout);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> TryTakeHeaderAsync(ConnectionContext connection, CancellationTokenSource timeout)
    {
        PipeReader input = connection.Transport.Input;
        bool isTimed = false;
        long examined = 0;
        while (true)
        {
            ValueTask<ReadResult> reading = input.ReadAsync(timeout.Token);
            if (!isTimed && !reading.IsCompleted)
            {
                // Once, so that bytes that trickle in gain no time. What is there already needs no timer.
                timeout.CancelAfter(_timeout);
                isTimed = true;
            }

            ReadResult read = await reading;
            ReadOnlySequence<byte> buffer = read.Buffer;
            HeaderResult result = HeaderParser.Parse(buffer, _maxSize);
            if (result.Status == HeaderStatus.NeedMore && !read.IsCompleted)
            {
                examined = buffer.Length;
                input.AdvanceTo(buffer.Start, buffer.End);
                continue;
            }

            if (result.Status == HeaderStatus.Header)
            {
                input.AdvanceTo(buffer.GetPosition(result.Header.Length));
                Apply(connection, result.Header);
                return true;
            }

            if (result.Status == HeaderStatus.NotAHeader && _mode == ProxyProtocolMode.Optional)
            {
                // A pipe does not take back what was examined. There is more than that, so that the next read does not wait.
                input.AdvanceTo(buffer.Start, buffer.GetPosition(examined));
                return true;
            }

            input.AdvanceTo(buffer.End);
            if (result.Status == HeaderStatus.NeedMore)
            {
                // The other side has ended and gets the same, without a reset.
                Log(connection, "It ended before its PROXY protocol header.");
                return false;
            }

            Refuse(connection, result.Status == HeaderStatus.Malformed
                ? ProxyProtocolLog.Describe(result.Error)
                : "It does not begin with a PROXY protocol header, which is required.");
            return false;
        }
    }

    private static void Apply(ConnectionContext connection, in ProxyHeader header)
    {
        connection.Features.Set<IProxyProtocolFeature>(new ProxyProtocolFeature(header, connection.RemoteEndPoint, connection.LocalEndPoint));
        if (header.Source is not null)
        {
            connection.RemoteEndPoint = header.Source;
            connection.LocalEndPoint = header.Destination;
        }
    }

    // With a reset: whoever configured the proxy is to notice, and nothing is left to be sent.
    private void Refuse(ConnectionContext connection, string reason)
    {
        Log(connection, reason);
        connection.Abort(new ConnectionAbortedException(reason));
    }

    private void Log(ConnectionContext connection, string reason)
    {
        if (_logger.IsEnabled(LogLevel.Debug))
        {
            ProxyProtocolLog.Refused(_logger, connection.ConnectionId, connection.RemoteEndPoint, reason);
        }
    }
}
