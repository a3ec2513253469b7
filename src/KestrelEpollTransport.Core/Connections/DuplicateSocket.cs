using System.Net.Sockets;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The <see cref="Socket"/> that a connection shows on demand: over a duplicate of its descriptor, and disposed with it.
/// Over the descriptor itself it would, after close and reuse of the number, talk to somebody else's client.
/// Made and given up under the connection's send lock.
/// </summary>
internal struct DuplicateSocket
{
    private Socket? _socket;
    private bool _isOver;

    /// <summary>Whether somebody has asked. Certain once no more descriptor can be entered.</summary>
    public readonly bool WasMade => Volatile.Read(in _socket) is not null;

    /// <exception cref="ObjectDisposedException">The connection has ended, and nobody had asked before.</exception>
    /// <exception cref="SocketException">The process has no descriptor left.</exception>
    public Socket Get(EpollConnection connection)
    {
        using (connection.Writer.HoldSends())
        {
            if (_socket is null)
            {
                int descriptor = -1;
                ObjectDisposedException.ThrowIf(_isOver || !connection.TryEnterDescriptor(out descriptor), connection);
                try
                {
                    IoResult duplicate = SystemCalls.Duplicate(descriptor);
                    _socket = duplicate.IsError
                        ? throw Errno.ToException(duplicate.Errno)
                        : new Shown(connection, new SafeSocketHandle((nint)duplicate.Value, ownsHandle: true));
                }
                finally
                {
                    // After it shows: who closes the descriptor asks whether there was a duplicate.
                    connection.LeaveDescriptor();
                }
            }

            return _socket;
        }
    }

    public void Dispose(EpollConnection connection)
    {
        using (connection.Writer.HoldSends())
        {
            _isOver = true;
        }

        _socket?.Dispose();
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
