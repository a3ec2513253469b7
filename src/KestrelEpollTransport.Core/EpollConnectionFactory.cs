using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Connecting;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>
/// Connects to TCP and unix domain endpoints; the connections live on the same event loops as accepted ones.
/// Thread-safe. Registered by <c>AddEpollTransport()</c>; constructed directly it owns its loops, which end when it
/// is disposed.
/// </summary>
public sealed class EpollConnectionFactory : IConnectionFactory, IDisposable
{
    private readonly TransportEngine _engine;
    private readonly bool _ownsEngine;
    private volatile bool _disposed;

    /// <summary>Creates a factory with loops of its own. They start with the first connection.</summary>
    /// <param name="options">Read and checked now, once. What concerns listening has no meaning here.</param>
    /// <param name="loggerFactory">The category is <c>KestrelEpollTransport.Client</c>.</param>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    /// <exception cref="OptionsValidationException">Options are outside their limits; it names each of them, and its value.</exception>
    public EpollConnectionFactory(IOptions<EpollTransportOptions> options, ILoggerFactory loggerFactory)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(loggerFactory);
        _engine = new TransportEngine(options.Value, loggerFactory);
        _ownsEngine = true;
    }

    internal EpollConnectionFactory(TransportEngine engine, bool ownsEngine = false)
    {
        _engine = engine;
        _ownsEngine = ownsEngine;
    }

    /// <summary>Connects. There is no time limit but the kernel's (tcp_syn_retries, tcp(7)) and the token's.</summary>
    /// <param name="endpoint">An <see cref="IPEndPoint"/> or a <see cref="UnixDomainSocketEndPoint"/>.</param>
    /// <param name="cancellationToken">Gives the attempt up.</param>
    /// <returns>The connection. Dispose it to close it.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="endpoint"/> is null.</exception>
    /// <exception cref="NotSupportedException">Another kind of endpoint: names are for the caller to resolve.</exception>
    /// <exception cref="SocketException">The connection was refused, timed out, or can't be made for another reason.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled first.</exception>
    /// <exception cref="ObjectDisposedException">The factory was disposed.</exception>
    /// <exception cref="PlatformNotSupportedException">The transport does not know this platform.</exception>
    public async ValueTask<ConnectionContext> ConnectAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        ObjectDisposedException.ThrowIf(_disposed, this);
        cancellationToken.ThrowIfCancellationRequested();
        if (endpoint is not (IPEndPoint or UnixDomainSocketEndPoint))
        {
            throw new NotSupportedException($"{nameof(EpollConnectionFactory)} connects to {nameof(IPEndPoint)} and {nameof(UnixDomainSocketEndPoint)}, not to {endpoint.GetType().Name}.");
        }

        ConnectOperation operation = new(_engine, endpoint);
        return await operation.RunAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Ends what the factory owns: unless the loops belong to a container, their connections are aborted and their
    /// threads ended. Idempotent.
    /// </summary>
    public void Dispose()
    {
        _disposed = true;
        if (_ownsEngine)
        {
            _engine.Dispose();
        }
    }
}
