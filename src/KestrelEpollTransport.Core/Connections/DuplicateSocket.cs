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

    /// <exception cref="ObjectDisposedException">The connection has ended, and nobody had asked before.</exception>
    /// <exception cref="SocketException">The process has no descriptor left.</exception>
    public Socket Get(EpollConnection connection)
    {
        if (Volatile.Read(ref _socket) is { } existing)
        {
            return existing;
        }

        ObjectDisposedException.ThrowIf(!connection.TryEnterDescriptor(out int descriptor), connection);
        IoResult duplicate = SystemCalls.Duplicate(descriptor);
        connection.LeaveDescriptor();
        if (duplicate.IsError)
        {
            throw Errno.ToException(duplicate.Errno);
        }

        Socket made = new(new SafeSocketHandle((nint)duplicate.Value, ownsHandle: true));
        Socket? other = Interlocked.CompareExchange(ref _socket, made, null);
        if (other is not null || _isOver)
        {
            // Lost to another caller, or the connection ended meanwhile and will not look again.
            made.Dispose();
        }

        return other ?? made;
    }

    public void Dispose()
    {
        _isOver = true;
        Interlocked.MemoryBarrier();
        Volatile.Read(ref _socket)?.Dispose();
    }
}
