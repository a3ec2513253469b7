using KestrelEpollTransport.Diagnostics;

namespace KestrelEpollTransport.Connections;

/// <summary>What connections that have ended had received and sent. Thread-safe.</summary>
internal sealed class ConnectionTotals
{
    private long _received;
    private long _sent;

    public ByteFigures Bytes => new(Volatile.Read(ref _received), Volatile.Read(ref _sent));

    /// <summary>For who releases a connection: no call is in flight any more, and its loop does not have it.</summary>
    public void Add(EpollConnection connection)
    {
        Interlocked.Add(ref _received, connection.Reader.Received);
        Interlocked.Add(ref _sent, connection.Writer.Sent);
    }
}
