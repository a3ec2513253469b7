using System.Buffers;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// Decides when, how much and how often a reader receives: as long as readiness is told, up to the bound of
/// unexamined bytes, and within the budget of a dispatch. For the reading side, one thread at a time.
/// </summary>
internal struct Receiver
{
    /// <summary>How many receives, and bytes, one dispatch may take before it goes to the tail of its queue.</summary>
    private const int ReceivesPerDispatch = 16;
    private const long BytesPerDispatch = 512 * 1024;

    private ReceiveBuffer _buffer;
    private int _receivesLeft;
    private long _bytesLeft;
    private bool _isPaused;

    public Receiver() => _buffer = new ReceiveBuffer();

    /// <summary>What was received and not consumed.</summary>
    public readonly ReadOnlySequence<byte> Sequence => _buffer.Sequence;

    public readonly bool HasBudget => _receivesLeft > 0 && _bytesLeft > 0;

    /// <summary>Whether a read that asked for <paramref name="minimum"/> bytes has something new, and enough.</summary>
    public readonly bool HasEnough(long minimum) => _buffer.Unexamined > 0 && _buffer.Buffered >= minimum;

    /// <summary>A new dispatch begins.</summary>
    public void RenewBudget()
    {
        _receivesLeft = ReceivesPerDispatch;
        _bytesLeft = BytesPerDispatch;
    }

    public void Advance(SequencePosition consumed, SequencePosition examined) => _buffer.Advance(consumed, examined);

    public void Free() => _buffer.Free();

    /// <summary>
    /// Receives until there is enough, or nothing is left to receive. After a hang-up it goes on to the end, so that the
    /// last bytes and the end of the stream come in one result, as they do from a pipe.
    /// </summary>
    public void ReceiveWhileReady(EpollConnection connection, ref AwaitWord word, long minimum)
    {
        long limit = connection.Shared.MaxReadBufferSize;
        while (word.IsReady && !word.IsClosed && (!HasEnough(minimum) || word.HasHungUp))
        {
            long room = limit - _buffer.Unexamined;
            if (_buffer.Buffered < minimum)
            {
                // The application has asked for this many: the bound must not become a deadlock.
                room = Math.Max(room, minimum - _buffer.Buffered);
            }

            if (room <= 0)
            {
                break;
            }

            if (_isPaused)
            {
                _isPaused = false;
                ConnectionLog.Resume(connection.Shared.Logger, connection);
            }

            ReceiveOnce(connection, ref word, room);
        }

        if (!_isPaused && _buffer.Unexamined >= limit && word.IsReady)
        {
            _isPaused = true;
            ConnectionLog.Pause(connection.Shared.Logger, connection);
        }
    }

    private void ReceiveOnce(EpollConnection connection, ref AwaitWord word, long room)
    {
        // Before the receive: what arrives from here on sets it again.
        word.ClearReady();
        if (!connection.TryEnterDescriptor(out int descriptor))
        {
            // Closed, and so ended, which the reader looks at next.
            return;
        }

        IoResult received;
        bool filled;
        try
        {
            received = _buffer.Receive(connection.Blocks, descriptor, room, out filled);
        }
        catch
        {
            // The application's memory pool failed. What is there to receive still is.
            word.SetReady();
            throw;
        }
        finally
        {
            connection.LeaveDescriptor();
        }

        _receivesLeft--;
        if (received.Value > 0)
        {
            _bytesLeft -= received.Value;

            // On TCP a short count proves that the queue is empty, unless urgent data split it or the end is behind it.
            if (filled || !connection.ShortCountsProve || !word.TrustsShortCounts)
            {
                word.SetReady();
                connection.OnUnreadLeft();
            }
        }
        else if (received.Value == 0)
        {
            connection.OnEndOfStream();
        }
        else if (!received.WouldBlock)
        {
            connection.OnReceiveError(received.Errno);
        }
    }
}
