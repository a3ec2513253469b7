using System.Runtime.ExceptionServices;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <content>When, how much and how often it receives; and what is done as the reading side is left. All of it but <see cref="ReceiveAhead"/> is
/// for the owner of the reading side.</content>
internal sealed partial class ConnectionReader
{
    /// <summary>How many bytes one dispatch, or one turn of receiving ahead, may receive, and how many a smaller receive counts for.</summary>
    private const long BytesPerTurn = 512 * 1024;
    private const long BytesPerReceive = BytesPerTurn / 16;

    private const int LatelyMs = 500;

    /// <summary>Receives what the application does not read, or leaves it to the owner of the reading side. Any thread that may receive.</summary>
    /// <param name="wasLeft">It was left for too long: from now on it is received at once, until the application reads again.</param>
    public void ReceiveAhead(bool wasLeft = false)
    {
        if (wasLeft && _state.IsReady)
        {
            _isBehind = true;
        }

        if (_state.TryBeginAhead())
        {
            ReceiveTurnAhead();
            Leave();
            LogNews();
        }
        else if (_state.IsCompleted)
        {
            _connection.OnInputRefused();
        }
    }

    // Until there is enough, nothing is left to receive, or the budget is used up. After a hang-up it goes on to the end, so that the
    // last bytes and the end of the stream come in one result, as they do from a pipe. Returns what the application's memory pool
    // threw: it belongs to whoever reads.
    private ExceptionDispatchInfo? Receive(int minimum, bool ahead)
    {
        bool filled = false;
        while (_budget > 0 && _state.IsReady && _end is null && (ahead || !_buffer.HasEnough(minimum) || _state.HasHungUp))
        {
            // The application has asked for this many: the bound must not become a deadlock.
            long room = Math.Max(Room, minimum - _buffer.Buffered);
            if (room <= 0)
            {
                break;
            }

            filled = ReceiveOnce(room, out ExceptionDispatchInfo? error);
            if (error is not null)
            {
                return error;
            }
        }

        bool leaves = _state.IsReady && _end is null;
        bool isUrgent = ahead || _state.HasHungUp;
        _isPaused = leaves && Room <= 0;
        if (leaves && !_isPaused && (filled || isUrgent))
        {
            // Nobody will be told of it again. After a hang-up, or in a turn ahead, somebody has to go on.
            _connection.OnUnreadLeft(isUrgent);
        }

        return null;
    }

    // Not while the reading side is owned: a logger may be slow, and others wait for it. Any thread: what one has done another may log.
    private void LogNews()
    {
        if (_endIsNews && Interlocked.Exchange(ref _endIsNews, false))
        {
            _connection.OnEndNoted();
        }

        bool isPaused = _isPaused;
        if (_pauseIsLogged != isPaused && Interlocked.Exchange(ref _pauseIsLogged, isPaused) != isPaused)
        {
            _connection.LogPause(isPaused);
        }
    }

    // True: all room that was offered is used, or a short count proves nothing, so that there may be more.
    private bool ReceiveOnce(long room, out ExceptionDispatchInfo? error)
    {
        error = null;

        // Before the receive: what arrives from here on sets it again.
        _state.ClearReady();
        if (!_connection.TryEnterDescriptor(out int descriptor))
        {
            // Closed, and so ended, which the reader looks at next.
            return false;
        }

        IoResult received;
        bool filled;
        try
        {
            received = _buffer.Receive(_connection.Blocks, descriptor, room, out filled);
        }
#pragma warning disable CA1031 // The application's memory pool failed. What is there to receive still is.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _state.SetReady();
            error = ExceptionDispatchInfo.Capture(exception);
            return false;
        }
        finally
        {
            _connection.LeaveDescriptor();
        }

        _budget -= Math.Max(received.Value, BytesPerReceive);
        if (received.Value > 0)
        {
            Volatile.Write(ref _lastInputMs, Environment.TickCount64);

            // On TCP, and not on unix sockets (unix(7)), a short count proves that the queue is empty, unless urgent data split it or the
            // end is behind it.
            if (filled || !_connection.IsTcp || !_state.TrustsShortCounts)
            {
                _state.SetReady();
            }

            return filled || !_state.TrustsShortCounts;
        }

        if (received.Value == 0)
        {
            _connection.OnEndReceived();
            Volatile.Write(ref _endIsNews, true);
        }
        else if (!received.WouldBlock || (_state.HasHungUp && _connection.HasSendFailed))
        {
            // After a send that failed nothing more is waited for, also if the peer has not ended.
            _connection.OnReceiveFailed(received.WouldBlock ? Errno.EPIPE : received.Errno);
            Volatile.Write(ref _endIsNews, true);
        }

        return false;
    }

    private void ReceiveTurnAhead()
    {
        _budget = BytesPerTurn;
        if (Receive(minimum: 0, ahead: true) is not null && _state.HasHungUp)
        {
            // The next read meets the same. Who does not read is to know of the end at least.
            _connection.Apply(LifetimeEvent.InputRefused);
        }
    }

    // The owner leaves, and then logs. True: the reader was completed and its buffer is freed.
    private bool Leave()
    {
        LeaveRead outcome;
        while ((outcome = _state.Leave()) == LeaveRead.ReceiveAhead)
        {
            ReceiveTurnAhead();
        }

        if (outcome == LeaveRead.Free)
        {
            FreeBuffer();
        }

        return outcome == LeaveRead.Free;
    }
}
