using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Connections;

/// <content>How it ends: the events of its <see cref="ConnectionLifetime"/>, and what follows from each. Any thread.</content>
internal sealed partial class EpollConnection
{
    /// <summary>An event from which nothing else follows than what it adds.</summary>
    public void Apply(LifetimeEvent happened)
    {
        _lifetime.Apply(happened, out LifetimeState added);
        Settle(added);
    }

    /// <summary>
    /// The reader is completed: what can be received, or the peer's end, will never be read. As on the stock transport, whose receives end at
    /// the next one.
    /// </summary>
    public void OnInputRefused()
    {
        bool isThere = Reader.HasHungUp;
        if (!isThere && TryEnterDescriptor(out int descriptor))
        {
            isThere = SystemCalls.GetUnreadBytes(descriptor).Value > 0;
            LeaveDescriptor();
        }

        if (isThere)
        {
            Apply(LifetimeEvent.InputRefused);
        }
    }

    /// <summary>Ends a connection that no application has, and never will.</summary>
    public void Discard(ConnectionAbortedException reason)
    {
        Abort(reason);
        Reader.Complete();
        Writer.Complete();
    }

    /// <summary>A receive returned 0. The owner of the reading side, which calls <see cref="OnEndNoted"/> when it has left.</summary>
    public void OnEndReceived()
    {
        using (Writer.HoldSends())
        {
            // A send that may have been given the socket's error has noted it.
        }

        LifetimeState before = _lifetime.Apply(LifetimeEvent.EndReceived, out LifetimeState added);
        Reader.End(((before | added) & LifetimeState.Failed) != 0 ? new ReaderEnd(_lifetime.Failure) : ReaderEnd.EndOfStream);
        Settle(added);
    }

    /// <summary>A receive failed. The same.</summary>
    public void OnReceiveFailed(int errno)
    {
        _lifetime.NoteError(ToException(errno), LifetimeEvent.ReceiveFailed, out LifetimeState added);
        Reader.End(new ReaderEnd(_lifetime.Failure));
        Settle(added);
    }

    /// <summary>Notes the error of a send, which then ends the connection. While sends are held.</summary>
    public LifetimeState NoteSendError(int errno)
    {
        Exception exception = NoteError(errno, out LifetimeState noted);
        LifetimeState added = LifetimeState.Open;
        if (_lifetime.TryTakeEnd(exception))
        {
            _lifetime.Apply(LifetimeEvent.SendFailed, out added);
        }

        return noted | added;
    }

    /// <summary>A send failed, and was noted.</summary>
    /// <param name="added">What <see cref="NoteSendError"/> returned.</param>
    public void OnSendFailed(LifetimeState added)
    {
        Settle(added);
        if ((added & LifetimeState.Ended) != 0)
        {
            if ((_lifetime.State & LifetimeState.Failed) == 0 && TryEnterDescriptor(out int descriptor))
            {
                // The peer may live: it is not to take what is cut off for whole.
                _ = SystemCalls.SetAbortiveClose(descriptor);
                LeaveDescriptor();
            }

            _socket.Dispose(this);
            _lifetime.Set(LifetimeState.EndDone);

            // What the kernel still has is read, and then the descriptor is needed no more.
            if (Reader.SetReady(ReadState.HangUp))
            {
                ResumeReader();
            }
            else
            {
                Reader.ReceiveAhead();
            }
        }

        LogLifetime(ends: (added & LifetimeState.Ended) != 0);
    }

    /// <summary>An end or an error was noted, and whoever noted it has left what it held: a flush that waits meets it too, and it is logged.</summary>
    public void OnEndNoted()
    {
        Writer.OnWritable();
        LogLifetime(ends: false);
    }

    /// <summary>The writer was completed with an exception.</summary>
    public void OnWriterFailed(Exception exception) => End(exception, LifetimeEvent.EndedByReset, isError: true);

    /// <summary>The writer was completed and everything is sent.</summary>
    public void OnAllSent() => End(new ConnectionAbortedException(GracefulReason), LifetimeEvent.EndedByFin);

    /// <summary>The socket that the application was shown is disposed: as on the stock transport, that resets the connection.</summary>
    public void OnSocketDisposed() => End(ToException(Errno.EBADF), LifetimeEvent.EndedByReset);

    /// <summary>
    /// Ends the connection in both directions at once. With a reason: a reset. With null, as Kestrel does it on
    /// every end that is no error: what the kernel has not taken yet is dropped, and the peer reads a FIN.
    /// What had arrived before an end of the peer's that was told before can still be read.
    /// </summary>
    public override void Abort(ConnectionAbortedException? abortReason) =>
        End(abortReason ?? new ConnectionAbortedException(GracefulReason), abortReason is null ? LifetimeEvent.EndedByFin : LifetimeEvent.EndedByReset);

    /// <summary>
    /// Completes both ends, waits without limit until everything is sent or the connection ends otherwise, and then for
    /// the callbacks of <see cref="ConnectionClosed"/>. Idempotent.
    /// </summary>
#pragma warning disable CA2215 // The base does nothing.
    public override ValueTask DisposeAsync()
#pragma warning restore CA2215
    {
        Reader.Complete();
        Writer.Complete();
        return _lifetime.WaitAsync();
    }

    // Takes the socket's error, if it has one, and notes it: a receive that then returns 0 is not taken for an end.
    private bool TakeSocketError()
    {
        int errno = 0;
        LifetimeState added = LifetimeState.Open;
        using (Writer.HoldSends())
        {
            if (TryEnterDescriptor(out int descriptor))
            {
                errno = SystemCalls.TakeSocketError(descriptor);
                LeaveDescriptor();
            }

            if (errno != 0)
            {
                NoteError(errno, out added);
            }
        }

        Settle(added);
        return errno != 0;
    }

    // EPIPE says that there is no way to the peer any more, and not how it ended. A reset behind a FIN has that error (tcp_reset of the
    // kernel, in CLOSE_WAIT), and what came before the FIN is whole. A receive will know.
    private Exception NoteError(int errno, out LifetimeState added)
    {
        Exception exception = ToException(errno);
        added = LifetimeState.Open;
        if (errno != Errno.EPIPE)
        {
            _lifetime.NoteError(exception, LifetimeEvent.ErrorTaken, out added);
        }

        return exception;
    }

    // Our own end, once; returns when the peer is told, if this call is the one that ends it.
    private void End(Exception reason, LifetimeEvent how, bool isError = false)
    {
        if (!_lifetime.TryTakeEnd(reason))
        {
            return;
        }

        _endsByError = isError;
        LifetimeState before = _lifetime.Apply(how, out LifetimeState added);
        bool keepsInput = ConnectionLifetime.KeepsInput(before);
        if (!keepsInput)
        {
            Reader.End(new ReaderEnd(ExceptionDispatchInfo.Capture(reason), AtOnce: true));
        }

        if (how == LifetimeEvent.EndedByReset)
        {
            // After a reset of the peer's there is nobody to tell, and the kernel still has what came before it.
            if ((before & LifetimeState.Failed) == 0)
            {
                SayReset();
            }

            Writer.Close();
        }
        else
        {
            Writer.Close();
            SayFin(mayLinger: !keepsInput);
        }

        Settle(added);
        _socket.Dispose(this);
        try
        {
            LogLifetime(ends: true);
        }
        finally
        {
            // Whatever the application's exception says of itself.
            _lifetime.Set(LifetimeState.EndDone);
        }
    }

    // The peer reads a reset, and what is queued in the kernel is dropped.
    private void SayReset()
    {
        if (TryEnterDescriptor(out int descriptor))
        {
            // A reset forgets what was counted.
            TakeLastSample(descriptor);
            if (!IsTcp || SystemCalls.Reset(descriptor).IsError)
            {
                // No RST on this socket, or not in this state: the close is to be abortive.
                _ = SystemCalls.SetAbortiveClose(descriptor);
            }

            LeaveDescriptor();
        }
    }

    private void SayFin(bool mayLinger)
    {
        if (!TryEnterDescriptor(out int descriptor))
        {
            return;
        }

        // Closing now would answer input with a reset, and that could take a response with it. An error: not known.
        bool couldLose = mayLinger && (Reader.HadInputLately
            || SystemCalls.GetUnreadBytes(descriptor).Value > 0
            || (IsTcp && SystemCalls.GetUnacknowledgedBytes(descriptor).Value != 0));
        _ = SystemCalls.ShutdownWrite(descriptor);
        LeaveDescriptor();
        if (couldLose)
        {
            Unread.Linger();
            if (_guard.IsClosing)
            {
                // Abandoned meanwhile, by someone who may not have seen that it lingers.
                Shared.Lingerers.Remove(Unread);
            }
        }
        else if (mayLinger)
        {
            Apply(LifetimeEvent.GivenUp);
        }
    }

    // Logs what has happened since it was called last: after the states that others wait for, but for the end of a disposal.
    private void LogLifetime(bool ends)
    {
        LifetimeState news = _lifetime.TakeUnlogged(ends);
        ILogger logger = Shared.Logger;
        if (news == LifetimeState.Open || !logger.IsEnabled(LogLevel.Debug))
        {
            return;
        }

        Interlocked.Increment(ref _logging);
        if ((news & LifetimeState.Fin) != 0)
        {
            ConnectionLog.ReadFin(logger, ConnectionId);
        }

        if ((news & (LifetimeState.Failed | LifetimeState.SendFailed)) != 0)
        {
            ConnectionLog.Failed(logger, ConnectionId, _lifetime.Failure?.SourceException ?? _lifetime.Reason!);
        }

        if ((news & LifetimeState.Reset) != 0 && _endsByError)
        {
            ConnectionLog.Error(logger, ConnectionId, _lifetime.Reason!);
        }

        if ((news & (LifetimeState.Reset | LifetimeState.SendFailed)) != 0)
        {
            ConnectionLog.WriteRst(logger, ConnectionId, _lifetime.Reason!.Message);
        }
        else if ((news & LifetimeState.Ended) != 0)
        {
            ConnectionLog.WriteFin(logger, ConnectionId, _lifetime.Reason!.Message);
        }

        Interlocked.Decrement(ref _logging);
    }

    /// <summary>The reader receives no more until the application has read, or goes on.</summary>
    public void LogPause(bool isPaused)
    {
        Interlocked.Increment(ref _logging);
        ConnectionLog.Pause(Shared.Logger, this, isPaused);
        Interlocked.Decrement(ref _logging);
    }

    // What follows from what an event added.
    private void Settle(LifetimeState added)
    {
        if ((added & LifetimeState.Closed) != 0 && _guard.Close())
        {
            Release();
        }

        if ((added & LifetimeState.Told) != 0 && _lifetime.HasCallbacks())
        {
            Uninterrupted.QueueToPool(this);
        }
    }

    // The one place where an errno of a connection becomes an exception.
    private static Exception ToException(int errno)
    {
        SocketException error = Errno.ToException(errno);
        return IoResult.Failure(errno).IsReset ? new ConnectionResetException(error.Message, error) : error;
    }

    // By the one party that the guard chose.
    private void Release()
    {
        TakeLastSample(_descriptor);
        if (Shared.MayBeDuplicated || _socket.WasMade)
        {
            Loop.Deregister(this, _descriptor);
        }
        else
        {
            Loop.Retire(this);
        }

        Shared.Totals.Add(this);
        SystemCalls.Close(_descriptor);
        Loop.AddLoad(-1);
        Volatile.Read(ref _applicationContext)?.OnConnectionEnded();
        if (Volatile.Read(ref _unread) is { } unread)
        {
            Shared.Lingerers.Remove(unread);
        }

        if (_sampled is { } sampled)
        {
            Shared.Sampling!.Remove(sampled);
        }
    }

    private void TakeLastSample(int descriptor)
    {
        if (_sampled is { } sampled)
        {
            Shared.Sampling!.TakeLast(sampled, descriptor);
        }
    }
}
