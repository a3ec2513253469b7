using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>
/// Puts sockets that the application accepted or connected itself onto the event loops. Thread-safe.
/// Registered by <c>AddEpollTransport()</c>; constructed directly it owns its loops, which end when it is disposed.
/// </summary>
public sealed class EpollConnectionContextFactory : IDisposable
{
    private readonly TransportEngine _engine;
    private readonly bool _ownsEngine;
    private volatile bool _disposed;

    /// <summary>Creates a factory with loops of its own. They start with the first connection.</summary>
    /// <param name="options">Read and checked now, once.</param>
    /// <param name="loggerFactory">The category is <c>KestrelEpollTransport</c>.</param>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    /// <exception cref="OptionsValidationException">Options are outside their limits; it names each of them, and its value.</exception>
    public EpollConnectionContextFactory(IOptions<EpollTransportOptions> options, ILoggerFactory loggerFactory)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(loggerFactory);
        _engine = new TransportEngine(options.Value, loggerFactory);
        _ownsEngine = true;
    }

    internal EpollConnectionContextFactory(TransportEngine engine, bool ownsEngine = false)
    {
        _engine = engine;
        _ownsEngine = ownsEngine;
    }

    /// <summary>
    /// Makes a connection of a connected stream socket and takes ownership of it: <paramref name="socket"/> is disposed
    /// and can't be used any more, the connection goes on over a duplicate of its descriptor.
    /// </summary>
    /// <remarks>
    /// No operation may be in progress on the socket. One that has been used with asynchronous operations stays known to
    /// the runtime's own socket engine, which is told of its events too: that costs a little, and nothing else.
    /// </remarks>
    /// <param name="socket">A connected TCP or unix domain stream socket.</param>
    /// <returns>The connection. Dispose it to close the socket.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="socket"/> is null.</exception>
    /// <exception cref="ArgumentException">The socket is no connected TCP or unix domain stream socket. It is left as it was.</exception>
    /// <exception cref="ObjectDisposedException">The socket, or the factory, was disposed.</exception>
    /// <exception cref="SocketException">The process has no descriptor or memory left. The socket is left as it was.</exception>
    /// <exception cref="PlatformNotSupportedException">The transport does not know this platform.</exception>
    public ConnectionContext Create(Socket socket)
    {
        ArgumentNullException.ThrowIfNull(socket);
        ObjectDisposedException.ThrowIf(_disposed, this);
        ObjectDisposedException.ThrowIf(socket.SafeHandle.IsClosed, socket);
        bool isTcp = socket.AddressFamily is AddressFamily.InterNetwork or AddressFamily.InterNetworkV6;
        if (socket.SocketType != SocketType.Stream || !(isTcp || socket.AddressFamily == AddressFamily.Unix))
        {
            throw new ArgumentException("Only TCP and unix domain stream sockets can become connections.", nameof(socket));
        }

        SocketAddress address = SocketAddresses.CreateBuffer();
        int given = (int)socket.SafeHandle.DangerousGetHandle();
        if (SystemCalls.GetPeerAddress(given, address).IsError)
        {
            throw new ArgumentException("The socket is not connected.", nameof(socket));
        }

        EndPoint? remote = SocketAddresses.ToEndPoint(address);
        EndPoint? local = SystemCalls.GetLocalAddress(given, address).IsError ? null : SocketAddresses.ToEndPoint(address);
        EventLoop loop = _engine.Loops.Next();
        IoResult duplicate = SystemCalls.Duplicate(given);
        if (duplicate.IsError)
        {
            throw Errno.ToException(duplicate.Errno);
        }

        int descriptor = (int)duplicate.Value;
        bool wasBlocking = SystemCalls.SetNonBlocking(descriptor).Value == 1;
        EpollConnection? connection = null;
        int errno = 0;
        try
        {
            connection = _engine.TryStart(_engine.AdoptedSide, loop, descriptor, isTcp, local, remote, out errno);
        }
        catch
        {
            SystemCalls.Close(descriptor);
            throw;
        }
        finally
        {
            // The mode is the description's, which both descriptors share.
            if (connection is null && wasBlocking)
            {
                _ = SystemCalls.SetNonBlocking(given, nonBlocking: false);
            }
        }

        if (connection is null)
        {
            throw _engine.ToException(errno, nameof(EpollConnectionContextFactory));
        }

        socket.Dispose();
        // Disposing makes the description that both share a blocking one.
        if (connection.TryEnterDescriptor(out descriptor))
        {
            _ = SystemCalls.SetNonBlocking(descriptor);
            connection.LeaveDescriptor();
        }

        return connection;
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
