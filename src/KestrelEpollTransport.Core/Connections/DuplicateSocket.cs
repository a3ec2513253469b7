using System.Net.Sockets;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The <see cref="Socket"/> that a connection shows on demand: over a duplicate of its descriptor, and disposed with it.
/// Over the descriptor itself it would, after close and reuse of the number, talk to somebody else's client.
/// Thread-safe.
/// </summary>
/// <remarks>
/// <see cref="Dispose"/> writes the flag, fences, reads the socket; <see cref="Get"/> publishes the socket (a fence) and then reads
/// the flag: one of them disposes it.
/// </remarks>
internal struct DuplicateSocket
{
    private Socket? _socket;
    private volatile bool _isOver;

    /// <summary>Whether somebody has asked. Certain once no more descriptor can be entered.</summary>
    public readonly bool WasMade => Volatile.Read(in _socket) is not null;

    /// <exception cref="ObjectDisposedException">The connection has ended, and nobody had asked before.</exception>
    /// <exception cref="SocketException">The process has no descriptor left.</exception>
    public Socket Get(EpollConnection connection)
    {
        if (Volatile.Read(ref _socket) is { } existing)
        {
            return existing;
        }

        ObjectDisposedException.ThrowIf(!connection.TryEnterDescriptor(out int descriptor), connection);
        Shown made;
        Socket? other;
        try
        {
            IoResult duplicate = SystemCalls.Duplicate(descriptor);
            made = duplicate.IsError
                ? throw Errno.ToException(duplicate.Errno)
                : new Shown(connection, new SafeSocketHandle((nint)duplicate.Value, ownsHandle: true));
            other = Interlocked.CompareExchange(ref _socket, made, null);
        }
        finally
        {
            // After it shows: who closes the descriptor asks whether there was a duplicate.
            connection.LeaveDescriptor();
        }

        if (other is not null || _isOver)
        {
            // Lost to another caller, or the connection ended meanwhile and will not look again.
            made.DisposeUnseen();
        }

        return other ?? made;
    }

    public void Dispose()
    {
        _isOver = true;
        Interlocked.MemoryBarrier();
        Volatile.Read(ref _socket)?.Dispose();
    }

    /// <summary>What the application may close, as it may on the stock transport: that ends the connection.</summary>
    private sealed class Shown : Socket
    {
        private EpollConnection? _connection;

        public Shown(EpollConnection connection, SafeSocketHandle handle)
            : base(handle)
        {
            // First .NET learns that the descriptor does not block, and then that its own synchronous calls are to: as on the stock
            // transport they wait in .NET and not in the kernel.
            Blocking = false;
            Blocking = true;
            _connection = connection;
        }

        /// <summary>Disposes a socket that nobody was shown.</summary>
        public void DisposeUnseen()
        {
            _connection = null;
            Dispose();
        }

        protected override void Dispose(bool disposing)
        {
            base.Dispose(disposing);
            if (disposing)
            {
                Interlocked.Exchange(ref _connection, null)?.OnSocketDisposed();
            }
        }
    }
}
