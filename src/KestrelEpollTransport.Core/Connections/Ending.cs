using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// How a connection ends: once, by the first reason. A reset drops everything at once; any other end says FIN, and unless
/// the peer said it first, <see cref="Connections.Lingering"/> lies between that and the closing of the descriptor. Thread-safe.
/// </summary>
internal struct Ending
{
    private const string GracefulReason = "The Epoll transport's send loop completed gracefully.";

    private Exception? _reason;
    private Lingering? _lingering;
    private OneShotSignal _done;

    /// <summary>Whether there is a reason already.</summary>
    public readonly bool HasBegun => Volatile.Read(in _reason) is not null;

    /// <summary>Whether both ends of the pipe know, and the peer is told.</summary>
    public readonly bool IsDone => _done.IsSet;

    /// <summary>Not null: what the peer still sends is to be discarded.</summary>
    public readonly Lingering? Lingering => Volatile.Read(in _lingering);

    public Task WaitAsync() => _done.WaitAsync();

    /// <summary>Ends the connection, unless it has ended; returns when the peer is told.</summary>
    /// <param name="connection">Whose end this is.</param>
    /// <param name="reason">Why it is reset; null: FIN, after what the kernel has taken.</param>
    public void Begin(EpollConnection connection, Exception? reason)
    {
        Exception recorded = reason ?? new ConnectionAbortedException(GracefulReason);
        if (Interlocked.CompareExchange(ref _reason, recorded, null) is not null)
        {
            return;
        }

        if (reason is null)
        {
            ConnectionLog.WriteFin(connection.Shared.Logger, connection, recorded.Message);
            EndGracefully(connection, recorded);
        }
        else
        {
            ConnectionLog.WriteRst(connection.Shared.Logger, connection, recorded.Message);
            Reset(connection, recorded);
        }

        connection.OnEnded();
        _done.Set();
    }

    /// <summary>The descriptor is closed.</summary>
    public readonly void OnReleased(EpollConnection connection)
    {
        if (Lingering is { } lingering)
        {
            connection.Shared.Lingerers.Remove(lingering);
        }
    }

    private static void Reset(EpollConnection connection, Exception recorded)
    {
        connection.Reader.TryEnd(recorded);
        connection.ResetDescriptor();
        connection.Writer.Close();
        connection.CloseDescriptor();
    }

    private void EndGracefully(EpollConnection connection, Exception recorded)
    {
        ConnectionReader reader = connection.Reader;
        connection.Writer.Close();
        if (!connection.TryEnterDescriptor(out int descriptor))
        {
            reader.TryEnd(recorded);
            return;
        }

        // After a FIN with nothing before it left to receive, the reader has, or would have had, a regular end.
        bool unread = reader.MayHaveUnread && SystemCalls.GetUnreadBytes(descriptor).Value > 0;
        bool peerIsDone = reader.HasHungUp && !unread;
        reader.TryEnd(peerIsDone ? null : recorded);
        _ = SystemCalls.ShutdownWrite(descriptor);
        connection.LeaveDescriptor();
        if (peerIsDone)
        {
            connection.CloseDescriptor();
        }
        else
        {
            Linger(connection);
        }
    }

    // The window: readiness is told after the reader's last look and before lingering is published. Published
    // first, then the bit is looked at; OnReady of the connection sets the bit and then looks for lingering.
    private void Linger(EpollConnection connection)
    {
        Lingering lingering = new(connection, connection.Loop);
        connection.Shared.Lingerers.Add(lingering);
        Interlocked.Exchange(ref _lingering, lingering);
        if (connection.Reader.MayHaveUnread)
        {
            connection.Loop.Post(lingering);
        }

        if (connection.IsClosing)
        {
            // Abandoned meanwhile, by someone who may not have seen the lingering.
            connection.Shared.Lingerers.Remove(lingering);
        }
    }
}
