using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Listening;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>
/// Binds TCP and unix domain endpoints and accepts their connections on the transport's own event loops.
/// Thread-safe. Applications get it from <c>UseEpollTransport()</c> or <c>AddEpollTransport()</c>; constructed
/// directly it owns its loops, which end when it is disposed.
/// </summary>
public sealed class EpollTransportFactory : IConnectionListenerFactory, IConnectionListenerFactorySelector, IDisposable
{
    private readonly TransportEngine _engine;
    private readonly bool _ownsEngine;
    private int _refusalReported;
    private volatile bool _disposed;

    /// <summary>Creates a factory with loops of its own. They start when the first endpoint is bound.</summary>
    /// <param name="options">Read and checked now, once.</param>
    /// <param name="loggerFactory">The category is <c>KestrelEpollTransport</c>.</param>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    /// <exception cref="OptionsValidationException">Options are outside their limits; it names each of them, and its value.</exception>
    public EpollTransportFactory(IOptions<EpollTransportOptions> options, ILoggerFactory loggerFactory)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(loggerFactory);
        _engine = new TransportEngine(options.Value, loggerFactory);
        _ownsEngine = true;
    }

    internal EpollTransportFactory(TransportEngine engine, bool ownsEngine = false)
    {
        _engine = engine;
        _ownsEngine = ownsEngine;
    }

    /// <summary>
    /// Whether <see cref="BindAsync"/> can bind this kind of endpoint: an <see cref="IPEndPoint"/>, a
    /// <see cref="UnixDomainSocketEndPoint"/> or a <see cref="FileHandleEndPoint"/>, and none on a platform that the
    /// transport does not know, or where it is switched off (<see cref="EpollTransportOptions.Enabled"/>), which is logged once, as
    /// Information. Kestrel then asks the next transport.
    /// </summary>
    /// <param name="endpoint">The endpoint that Kestrel is about to bind.</param>
    public bool CanBind(EndPoint endpoint)
    {
        if (endpoint is not (IPEndPoint or UnixDomainSocketEndPoint or FileHandleEndPoint))
        {
            return false;
        }

        bool binds = _engine.IsPlatformSupported && _engine.Options.Enabled;
        if (!binds && Interlocked.Exchange(ref _refusalReported, 1) == 0)
        {
            if (_engine.Options.Enabled)
            {
                AcceptLog.PlatformNotSupported(_engine.Logger);
            }
            else
            {
                AcceptLog.SwitchedOff(_engine.Logger, _engine.Options.WhoDisabled);
            }
        }

        return binds;
    }

    /// <summary>Binds an endpoint and begins to accept its connections.</summary>
    /// <param name="endpoint">What to bind. Port 0 takes a free port; the listener's endpoint tells which.</param>
    /// <param name="cancellationToken">Not used: binding does not wait.</param>
    /// <returns>The listener. It shares the loops with the factory's other listeners.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="endpoint"/> is null.</exception>
    /// <exception cref="AddressInUseException">The address is in use: for that error (EADDRINUSE, bind(2)) and for no other.</exception>
    /// <exception cref="SocketException">The endpoint can't be bound for another reason.</exception>
    /// <exception cref="ObjectDisposedException">The factory was disposed.</exception>
    /// <exception cref="PlatformNotSupportedException">The transport does not know this platform.</exception>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        ObjectDisposedException.ThrowIf(_disposed, this);
        return new ValueTask<IConnectionListener>(EpollListener.Bind(_engine, endpoint));
    }

    /// <summary>
    /// Ends what the factory owns: unless the loops belong to a container, their listeners are unbound, their connections
    /// aborted and their threads ended. Idempotent.
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
