using System.Buffers;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using KestrelEpollTransport.Scheduling;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// One connection: the owner of a descriptor that a loop watches, the two ends of its pipe, and its end.
/// </summary>
/// <remarks>
/// <para><b>Readiness</b> comes from the loop (<see cref="OnReady"/>) and only sets bits and resumes; receiving is the
/// <see cref="ConnectionReader"/>'s work and sending the <see cref="ConnectionWriter"/>'s.</para>
/// <para><b>A dispatch</b> is <see cref="OwnDispatch"/>'s: flushes on its thread may be gathered.</para>
/// <para><b>The end</b>, whoever brings it, is an event of <see cref="ConnectionLifetime"/>; what follows from it is done here, state first
/// and log lines after. <see cref="DescriptorGuard"/> decides who closes the descriptor, once, when no call is in flight.</para>
/// </remarks>
internal sealed class EpollConnection : TransportConnection, ILoopHandler, IDuplexPipe, IThreadPoolWorkItem
{
    private const string GracefulReason = "The Epoll transport's send loop completed gracefully.";

    // Immutable.
    private readonly EventLoop _loop;
    private readonly int _descriptor;

    // Any thread.
    private DescriptorGuard _guard;
    private ConnectionLifetime _lifetime;
    private DuplicateSocket _socket;
    private OwnDispatch _dispatch;
    private UnreadInput? _unread;

    // The application, one thread at a time.
    private object? _replacedConnectionClosed;

    private EpollConnection(ConnectionShared shared, EventLoop loop, BlockSource blocks, int descriptor, bool isTcp)
    {
        Shared = shared;
        Blocks = blocks;
        _loop = loop;
        _descriptor = descriptor;
        IsTcp = isTcp;
        _dispatch = new OwnDispatch(shared.History);
        Reader = new ConnectionReader(this);
        Writer = new ConnectionWriter(this);
        Transport = this;
    }

    public ConnectionShared Shared { get; }

    public EventLoop Loop => _loop;

    public BlockSource Blocks { get; }

    public ConnectionReader Reader { get; }

    public ConnectionWriter Writer { get; }

    public Token Token { get; set; }

    public override IDuplexPipe Transport { get; set; }

    PipeReader IDuplexPipe.Input => Reader;

    PipeWriter IDuplexPipe.Output => Writer;

    public override MemoryPool<byte> MemoryPool => Blocks.Pool;

    public override CancellationToken ConnectionClosed
    {
        get => _replacedConnectionClosed is CancellationToken replaced ? replaced : _lifetime.Token;
        set => _replacedConnectionClosed = value;
    }

    public override Socket Socket => _socket.Get(this);

    /// <summary>Whether the socket is TCP's, and not a unix socket.</summary>
    public bool IsTcp { get; }

    /// <summary>Whether a short receive proves that the kernel's queue is empty: on unix sockets it does not, unix(7).</summary>
    public bool ShortCountsProve => IsTcp;

    private UnreadInput Unread => _unread ?? Interlocked.CompareExchange(ref _unread, new UnreadInput(this), null) ?? _unread;

    /// <summary>The dispatch of this connection.</summary>
    public ref OwnDispatch Dispatch => ref _dispatch;

    /// <summary>
    /// Puts a connected, non-blocking descriptor onto a loop, and owns it from here on. Null: it could not be
    /// registered, and is closed.
    /// </summary>
    public static EpollConnection? TryStart(
        ConnectionShared shared, EventLoop loop, BlockSource blocks, int descriptor, bool isTcp, EndPoint? local, EndPoint? remote, out int errno)
    {
        EpollConnection connection = new(shared, loop, blocks, descriptor, isTcp)
        {
            LocalEndPoint = local,
            RemoteEndPoint = remote,
        };
        loop.AddLoad(1);

        // In the table it can be found, and abandoned, before it is registered. Counted as a call, so that the number
        // is not closed, and somebody else's, when the poller gets it.
        bool entered = connection.TryEnterDescriptor(out _);
        Debug.Assert(entered, "Nobody else knows the connection yet.");

        IoResult registered = loop.Register(connection, descriptor, isTcp ? Interest.Read | Interest.Write : Interest.Read);
        errno = registered.Errno;
        if (registered.IsError)
        {
            connection.Apply(LifetimeEvent.GivenUp);
        }

        connection.LeaveDescriptor();
        return registered.IsError ? null : connection;
    }

    public void OnReady(Readiness readiness)
    {
        if ((readiness & Readiness.Writable) != 0)
        {
            Writer.OnWritable();
        }

        // What the socket's error was is known to the reader before it looks for what is left. On Linux, what a socket has in its
        // error queue (time stamps, socket(7)) is told as an error too, and is none.
        bool peerEnded = (readiness & (Readiness.PeerClosed | Readiness.HangUp)) != 0
            | ((readiness & Readiness.Error) != 0 && TakeSocketError());
        if (peerEnded || (readiness & (Readiness.Readable | Readiness.Priority)) != 0)
        {
            OnReadable(peerEnded, isUrgent: (readiness & Readiness.Priority) != 0);
        }
    }

    /// <summary>Whether our own end is a send that failed.</summary>
    public bool HasSendFailed => (_lifetime.State & LifetimeState.SendFailed) != 0;

    public void OnFault(Exception exception)
    {
        End(new ConnectionAbortedException("The transport met an unexpected exception.", exception), LifetimeEvent.EndedByReset);
        ConnectionLog.Faulted(Shared.Logger, ConnectionId, exception);
    }

    public void Abandon()
    {
        ConnectionAbortedException reason = new("The transport was disposed.");
        End(reason, LifetimeEvent.EndedByReset);

        // If it had ended before, and the application was to read on.
        Reader.End(new ReaderEnd(ExceptionDispatchInfo.Capture(reason), AtOnce: true));
        Apply(LifetimeEvent.GivenUp);
    }

    /// <summary>Has scheduling run <paramref name="work"/>, which is the reader or the writer of this connection. Any thread.</summary>
    public void Resume(IResumable work) => Shared.Scheduler.Resume(work, _loop);

    /// <summary>The same, for the top of a dispatch on the loop's thread.</summary>
    public void ResumeFromLoop(IResumable work) => Shared.Scheduler.ResumeFromLoop(work, _loop);

    /// <summary>The same for a continuation that came late, if one did.</summary>
    public void ResumeLate(Continuation continuation)
    {
        if (!continuation.IsNone)
        {
            Resume(new LateContinuation(this, continuation));
        }
    }

    public void OnHandedOff(bool isBlocked) => _dispatch.Profile.HandedOff(isBlocked);

    public bool TryLogHandOff(int loop, TimeSpan blocked)
    {
        SchedulingLog.HandedOff(Shared.Logger, loop, blocked, this);
        return true;
    }

    public bool TryFailOwnWait() => Reader.TryFailWait() | Writer.TryFailWait();

    /// <summary>Runs the callbacks of <see cref="ConnectionClosed"/>, which is the only thing of a connection that the pool is given.</summary>
    void IThreadPoolWorkItem.Execute() => _lifetime.RunCallbacks(Shared.Logger);

    /// <summary>Before a system call on the descriptor; after it, <see cref="LeaveDescriptor"/>. False: closed.</summary>
    public bool TryEnterDescriptor(out int descriptor)
    {
        descriptor = _descriptor;
        return _guard.TryEnter();
    }

    public void LeaveDescriptor()
    {
        if (_guard.Leave())
        {
            Release();
        }
    }

    /// <summary>
    /// The writer: tell, or no longer tell, when there is room. Unix sockets become writable again with every response
    /// that the peer reads: there, room is asked for only while it is missing.
    /// </summary>
    public void AskForWritable(bool ask)
    {
        if (!IsTcp && TryEnterDescriptor(out int descriptor))
        {
            _ = _loop.Modify(this, descriptor, ask ? Interest.Read | Interest.Write : Interest.Read);
            LeaveDescriptor();
        }
    }

    /// <summary>
    /// Something is left in the kernel of which nobody will be told again. It is received ahead: on the next pass of the loop if somebody
    /// depends on it, and else when the application has left it for too long.
    /// </summary>
    /// <param name="isUrgent">The peer has ended, which is told after what it sent; or a receiving ahead has to go on.</param>
    public void OnUnreadLeft(bool isUrgent) => Unread.Queue(isUrgent);

    /// <summary>An event from which nothing else follows than what it adds.</summary>
    public void Apply(LifetimeEvent happened)
    {
        _lifetime.Apply(happened, out LifetimeState added);
        Settle(added);
    }

    /// <summary>A receive returned 0. The owner of the reading side, which logs when it has left.</summary>
    public void OnEndReceived()
    {
        using (Writer.HoldSends())
        {
            // A send that may have been given the socket's error has noted it.
        }

        LifetimeState before = _lifetime.Apply(LifetimeEvent.EndReceived, out LifetimeState added);
        Reader.End(((before | added) & LifetimeState.Failed) != 0 ? new ReaderEnd(_lifetime.Failure) : ReaderEnd.EndOfStream);
        Settle(added, logs: false);
    }

    /// <summary>A receive failed. The same.</summary>
    public void OnReceiveFailed(int errno)
    {
        _lifetime.NoteError(ToException(errno), LifetimeEvent.ReceiveFailed, out LifetimeState added);
        Reader.End(new ReaderEnd(_lifetime.Failure));
        Settle(added, logs: false);
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
            OnEnded();

            // What the kernel still has is read, and then the descriptor is needed no more: the peer may not have ended.
            if (Reader.SetReady(ReadState.HangUp))
            {
                Resume(Reader);
            }
            else
            {
                Reader.ReceiveAhead();
            }
        }
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

    private void OnReadable(bool peerEnded, bool isUrgent)
    {
        if (Reader.SetReady((peerEnded ? ReadState.HangUp : 0) | (isUrgent ? ReadState.Urgent : 0)))
        {
            // It receives to the end and then says so, in the order of a pipe's ends.
            ResumeFromLoop(Reader);
        }
        else if (Volatile.Read(ref _unread) is { IsLingering: true } lingering)
        {
            lingering.Discard();
        }
        else if (Reader.IsCompleted)
        {
            Apply(LifetimeEvent.InputRefused);
        }
        else if (peerEnded || Reader.IsBehind || Writer.IsWaiting)
        {
            Reader.ReceiveAhead();
        }
        else
        {
            OnUnreadLeft(isUrgent: false);
        }
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

        Settle(added, logs: false);
        if (isError)
        {
            ConnectionLog.Error(Shared.Logger, this, reason);
        }

        LogLifetime();
        OnEnded();
    }

    private void OnEnded()
    {
        _socket.Dispose();
        _lifetime.SetEnded();
    }

    // The peer reads a reset, and what is queued in the kernel is dropped.
    private void SayReset()
    {
        if (TryEnterDescriptor(out int descriptor))
        {
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
        if (!couldLose)
        {
            if (mayLinger)
            {
                Apply(LifetimeEvent.GivenUp);
            }

            return;
        }

        Unread.Linger();
        if (_guard.IsClosing)
        {
            // Abandoned meanwhile, by someone who may not have seen that it lingers.
            Shared.Lingerers.Remove(Unread);
        }
    }

    /// <summary>Logs what has happened since it was called last: after the states that others wait for, but for the end of a disposal.</summary>
    public void LogLifetime()
    {
        LifetimeState news = _lifetime.TakeUnlogged();
        if ((news & LifetimeState.Fin) != 0)
        {
            ConnectionLog.ReadFin(Shared.Logger, this);
        }

        if ((news & (LifetimeState.Failed | LifetimeState.SendFailed)) != 0)
        {
            ConnectionLog.Failed(Shared.Logger, this, _lifetime.Failure?.SourceException ?? _lifetime.Reason!);
        }

        if ((news & (LifetimeState.Reset | LifetimeState.SendFailed)) != 0)
        {
            ConnectionLog.WriteRst(Shared.Logger, this, _lifetime.Reason!.Message);
        }
        else if ((news & LifetimeState.Ended) != 0)
        {
            ConnectionLog.WriteFin(Shared.Logger, this, _lifetime.Reason!.Message);
        }
    }

    // What follows from what an event added.
    private void Settle(LifetimeState added, bool logs = true)
    {
        if ((added & LifetimeState.Failed) != 0)
        {
            // A flush that waits is to meet the end too.
            Writer.OnWritable();
        }

        if ((added & LifetimeState.Closed) != 0 && _guard.Close())
        {
            Release();
        }

        if ((added & LifetimeState.Told) != 0 && _lifetime.HasCallbacks())
        {
            Uninterrupted.QueueToPool(this);
        }

        if (logs && added != 0)
        {
            LogLifetime();
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
        if (Shared.MayBeDuplicated || _socket.WasMade)
        {
            _loop.Deregister(this, _descriptor);
        }
        else
        {
            _loop.Retire(this);
        }

        SystemCalls.Close(_descriptor);
        _loop.AddLoad(-1);
        if (Volatile.Read(ref _unread) is { } unread)
        {
            Shared.Lingerers.Remove(unread);
        }
    }
}
