using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <content>When, how much and how often it sends; and what is done as the lock is left. Under the lock, all but <see cref="Finish"/>.</content>
/// <remarks>
/// <b>No room, and the edge.</b>
/// T1 (sender, in the lock) is told would-block, sets Blocked, fences, and sends once more. Would-block again: it leaves.
/// T2 (loop) is told of room and looks at Blocked, without the lock: set, it takes the lock and sends; clear, there is nothing to do.
/// If T2 sees it clear, the room was there before T1's second send, which then took it.
/// <para><b>A flush gives way.</b> T1 (the call of a flush) begins the operation and its wait, ends the wait at once and has the resume queued. T2
/// (the resume) completes the operation and runs what the caller has attached. A caller that asks only then is told
/// that the flush has completed, and goes on by itself: others had their turn.</para>
/// </remarks>
internal sealed partial class ConnectionWriter
{
    /// <summary>The most bytes that one send takes before everyone else on the loop has a turn: a fast reader takes as fast as we send.</summary>
    internal const long BytesPerTurn = 256 * 1024;

    // Until all is sent, the kernel is full, the turn is over or the connection closed.
    private void Send(ref AfterSend after, bool hasRoom = false)
    {
        if (_isSending)
        {
            // A pool of the application that was asked to pin has called back: the outer send sees what is new.
            return;
        }

        long left = BytesPerTurn;
        bool tries = hasRoom || !_isBlocked;
        _isMarked &= !tries;
        _isSending = true;
        while (tries && _queue.Unsent > 0 && !_isClosed && left > 0)
        {
            tries = TrySendOnce(ref left, ref after);
        }

        _isSending = false;
        if (_isClosed)
        {
            _queue.Discard();
        }
        else if (left <= 0 && _queue.Unsent > 0)
        {
            // The kernel may have room, and then nobody is told of any.
            SetBlocked(false);
            Mark(ref after);
            after.PostsDrain = true;
        }

        bool allSent = _queue.Unsent == 0;
        if (allSent)
        {
            SetBlocked(false);
            after.TellsAllSent = _endsGracefully;
        }

        after.Spent = _queue.TakeSpent(allSent && !_isHeld, out after.SpentEnd);
        EndWait(ref after);
    }

    // False: the kernel is full, and the loop is told when it no longer is.
    private bool TrySendOnce(ref long left, ref AfterSend after)
    {
        if (!_connection.TryEnterDescriptor(out int descriptor))
        {
            _isClosed = true;
            return true;
        }

        IoResult sent;
        bool tookAll = false;
        try
        {
            sent = _queue.SendOnce(descriptor, _connection.IsTcp, out tookAll);
        }
#pragma warning disable CA1031 // The application's memory pool failed to pin.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            after.Fault = exception;
            _isClosed = true;
            _endsGracefully = false;
            return true;
        }
        finally
        {
            _connection.LeaveDescriptor();
        }

        left -= Math.Max(sent.Value, 0);
        if (tookAll)
        {
            return true;
        }

        if (sent.IsError && !sent.WouldBlock)
        {
            after.SendFailed = _connection.NoteSendError(sent.Errno);
            _isClosed = true;
            return true;
        }

        if (_isBlocked)
        {
            return !sent.WouldBlock;
        }

        SetBlocked(true);
        Interlocked.MemoryBarrier();
        return true;
    }

    private void SetBlocked(bool isBlocked)
    {
        if (_isBlocked != isBlocked)
        {
            // Asking tells at once if there is room already.
            _connection.AskForWritable(isBlocked);
            _isBlocked = isBlocked;
        }
    }

    private void Mark(ref AfterSend after)
    {
        _isMarked = true;
        after.Watches = Interlocked.Exchange(ref _watched, 1) == 0;
    }

    private void EndWait(ref AfterSend after)
    {
        if (_wait == FlushWait.Waiting && (_isClosed || _isCanceled || _tokenFired || HasRoom || (after.BeginsWait && !IsFull)))
        {
            _wait = FlushWait.Ending;
            after.ResumesFlush = true;
            after.GivesWay = after.BeginsWait && IsTurnOver;
        }
    }

    // Not under the lock.
    private void Finish(in AfterSend after)
    {
        SendQueue.Release(after.Spent, after.SpentEnd);
        if (after.ResumesFlush && (after.GivesWay || _operation.IsAwaited))
        {
            _connection.Resume(this);
        }
        else if (after.ResumesFlush)
        {
            // Nothing runs with it: as on a Pipe, who asks next is told.
            _connection.ResumeLate(CompletePendingFlush(), isRead: false);
        }

        if (after.Watches)
        {
            _connection.Shared.Watch.Add(this);
        }

        if (after.PostsDrain)
        {
            // After the mark, which it is to find.
            (_drain ?? Interlocked.CompareExchange(ref _drain, new PostedDrain(this), null) ?? _drain).Post();
        }

        if (after.SendFailed is { } added)
        {
            _connection.OnSendFailed(added);
        }

        if (after.Fault is not null)
        {
            _connection.OnFault(after.Fault);
        }

        if (after.TellsAllSent)
        {
            _connection.OnAllSent();
        }
    }

    /// <summary>What is left to do when the lock is left.</summary>
    private struct AfterSend
    {
        public BufferSegment? Spent, SpentEnd;
        public Exception? Fault;
        public LifetimeState? SendFailed;
        public bool BeginsWait, Watches, PostsDrain, TellsAllSent, ResumesFlush, GivesWay;
    }
}
