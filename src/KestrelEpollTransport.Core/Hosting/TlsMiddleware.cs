using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using KestrelEpollTransport.Diagnostics;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Hosting;

/// <summary>Puts TLS between a connection and those behind. One for an end point; any thread may call it.</summary>
internal sealed class TlsMiddleware(
    ConnectionDelegate next, SslServerAuthenticationOptions options, TimeSpan handshakeTimeout, TimeProvider time, ILogger logger)
{
    private static readonly TimeSpan s_lastHandshake = TimeSpan.FromSeconds(1);

    public async Task OnConnectionAsync(ConnectionContext connection)
    {
        IDuplexPipe transport = connection.Transport;
        TlsStream tls = new(new DuplexPipeStream(transport));
        await using (tls.ConfigureAwait(false))
        {
            if (await TryAuthenticateAsync(connection, tls).ConfigureAwait(false))
            {
                await ServeAsync(connection, transport, tls).ConfigureAwait(false);
            }
        }
    }

    private async Task<bool> TryAuthenticateAsync(ConnectionContext connection, TlsStream tls)
    {
        using CancellationTokenSource timeout = new(handshakeTimeout, time);

        // A client that says nothing holds up no stop: one that is in the middle of its handshake may finish.
        CancellationToken closing = connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? CancellationToken.None;
        using CancellationTokenRegistration shortens = closing.UnsafeRegister(static source => ((CancellationTokenSource)source!).CancelAfter(s_lastHandshake), timeout);
        try
        {
            await tls.AuthenticateAsServerAsync(options, timeout.Token).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested && !closing.IsCancellationRequested)
        {
            ServerLog.HandshakeTimedOut(logger, connection.ConnectionId, handshakeTimeout.TotalSeconds);
        }
        catch (Exception exception) when (exception is OperationCanceledException || tls.IsOfClient(exception))
        {
            // What clients do: they go away, don't trust the certificate, or speak something else.
            ServerLog.HandshakeFailed(logger, connection.ConnectionId, exception);
        }

        return false;
    }

    private async Task ServeAsync(ConnectionContext connection, IDuplexPipe transport, TlsStream tls)
    {
        TlsDuplexPipe plain = new(tls, connection.Features.Get<IMemoryPoolFeature>()?.MemoryPool ?? MemoryPool<byte>.Shared);
        connection.Features.Set<SslStream>(tls);
        connection.Transport = plain;
        try
        {
            try
            {
                await next(connection).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (IsAskedToEnd(connection))
            {
                // Its wait was cancelled, which is how handlers end that were asked to.
            }

            await EndAsync(connection, plain, tls).ConfigureAwait(false);
        }
        finally
        {
            connection.Transport = transport;

            // Blocks go back to the pool; those that are being sent, when they are. What a handler that failed had not flushed is not sent.
            await plain.Input.CompleteAsync().ConfigureAwait(false);
            plain.Output.Complete(new ConnectionAbortedException("The handler has ended."));
        }
    }

    private static bool IsAskedToEnd(ConnectionContext connection) =>
        connection.Features.Get<IConnectionLifetimeNotificationFeature>() is { ConnectionClosedRequested.IsCancellationRequested: true };

    /// <summary>Sends what is left and says that it was all (close_notify; RFC 8446, 6.1): a client can tell an answer from a part of one.</summary>
    private async Task EndAsync(ConnectionContext connection, TlsDuplexPipe plain, TlsStream tls)
    {
        try
        {
            Task sent = SendRestAsync(connection, plain, tls);
            await sent.WaitAsync(ServedConnection.SendTimeout, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!sent.IsCompleted)
            {
                connection.Abort(new ConnectionAbortedException("The client did not take what was left to be sent in time."));
            }

            await sent.ConfigureAwait(false);
        }
        catch (Exception exception) when (tls.IsOfClient(exception))
        {
            // The client has gone, without waiting for it; or it has broken TLS, which then does not say goodbye.
        }
    }

    private static async Task SendRestAsync(ConnectionContext connection, TlsDuplexPipe plain, TlsStream tls)
    {
        if (plain.Output.Failure is { } failure)
        {
            // Not all was sent: the client is not told that it was.
            connection.Abort(new ConnectionAbortedException(failure.Message, failure));
            return;
        }

        await plain.Output.CompleteAsync().ConfigureAwait(false);
        await tls.ShutdownAsync().ConfigureAwait(false);
    }
}
