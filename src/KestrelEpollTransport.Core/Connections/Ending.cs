using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
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

    private readonly EpollConnection _connection;
    private readonly EventLoop _loop;
    private Exception? _reason;
    private Lingering? _lingering;
    private OneShotSignal _done;

    public Ending(EpollConnection connection, EventLoop loop)
    {
        _connection = connection;
        _loop = loop;
    }

    /// <summary>Whether there is a reason already.</summary>
    public readonly bool HasBegun => Volatile.Read(in _reason) is not null;

    /// <summary>Whether both ends of the pipe know, and the peer is told.</summary>
    public readonly bool IsDone => _done.IsSet;

    /// <summary>Not null: what the peer still sends is to be discarded.</summary>
    public readonly Lingering? Lingering => Volatile.Read(in _lingering);

    public Task WaitAsync() => _done.WaitAsync();

    /// <summary>Ends the connection, unless it has ended; returns when the peer is told.</summary>
    /// <param name="reason">Why it is reset; null: FIN, after what the kernel has taken.</param>
    public void Begin(Exception? reason)
    {
        Exception recorded = reason ?? new ConnectionAbortedException(GracefulReason);
        if (Interlocked.CompareExchange(ref _reason, recorded, null) is not null)
        {
            return;
        }

        if (reason is null)
        {
            ConnectionLog.WriteFin(_connection.Shared.Logger, _connection, recorded.Message);
            EndGracefully(recorded);
        }
        else
        {
            ConnectionLog.WriteRst(_connection.Shared.Logger, _connection, recorded.Message);
            Reset(recorded);
        }

        _connection.OnEnded();
        _done.Set();
    }

    /// <summary>The descriptor is closed.</summary>
    public void OnReleased()
    {
        if (Lingering is { } lingering)
        {
            _connection.Shared.Lingerers.Remove(lingering);
        }
    }

    private void Reset(Exception recorded)
    {
        _connection.Reader.TryEnd(recorded);
        _connection.ResetDescriptor();
        _connection.Writer.Close();
        _connection.CloseDescriptor();
    }

    private void EndGracefully(Exception recorded)
    {
        ConnectionReader reader = _connection.Reader;
        _connection.Writer.Close();
        if (!_connection.TryEnterDescriptor(out int descriptor))
        {
            reader.TryEnd(recorded);
            return;
        }

        // After a FIN with nothing before it left to receive, the reader has, or would have had, a regular end.
        bool unread = reader.MayHaveUnread && SystemCalls.GetUnreadBytes(descriptor).Value > 0;
        bool peerIsDone = reader.HasHungUp && !unread;
        reader.TryEnd(peerIsDone ? null : recorded);
        _ = SystemCalls.ShutdownWrite(descriptor);
        _connection.LeaveDescriptor();
        if (peerIsDone)
        {
            _connection.CloseDescriptor();
        }
        else
        {
            Linger();
        }
    }

    // The window: readiness is told after the reader's last look and before lingering is published. Published
    // first, then the bit is looked at; OnReady of the connection sets the bit and then looks for lingering.
    private void Linger()
    {
        Lingering lingering = new(_connection, _loop);
        _connection.Shared.Lingerers.Add(lingering);
        Interlocked.Exchange(ref _lingering, lingering);
        if (_connection.Reader.MayHaveUnread)
        {
            _loop.Post(lingering);
        }

        if (_connection.IsClosing)
        {
            // Abandoned meanwhile, by someone who may not have seen the lingering.
            _connection.Shared.Lingerers.Remove(lingering);
        }
    }
}
