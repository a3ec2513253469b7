using System.Buffers;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Diagnostics;
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
/// <para><b>The end</b> is <see cref="Ending"/>'s, and the peer's <see cref="PeerEnd"/>'s. <see cref="DescriptorGuard"/> decides who closes the descriptor, once, when no
/// call is in flight.</para>
/// </remarks>
internal sealed class EpollConnection : TransportConnection, ILoopHandler, IDuplexPipe, IThreadPoolWorkItem
{
    // Immutable.
    private readonly EventLoop _loop;
    private readonly int _descriptor;

    // Any thread.
    private DescriptorGuard _guard;
    private Ending _ending;
    private ClosedSignal _closed;
    private DuplicateSocket _socket;
    private PeerEnd _peerEnd;
    private OwnDispatch _dispatch;

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
        get => _replacedConnectionClosed is CancellationToken replaced ? replaced : _closed.Token;
        set => _replacedConnectionClosed = value;
    }

    public override Socket Socket => _socket.Get(this);

    /// <summary>Whether the socket is TCP's, and not a unix socket.</summary>
    public bool IsTcp { get; }

    /// <summary>Whether a short receive proves that the kernel's queue is empty: on unix sockets it does not, unix(7).</summary>
    public bool ShortCountsProve => IsTcp;

    /// <summary>Whether the descriptor is, or soon will be, closed.</summary>
    public bool IsClosing => _guard.IsClosing;

    /// <summary>Where this connection's dispatches run. A hint, and so for any thread.</summary>
    public ref DispatchProfile Profile => ref _dispatch.Profile;

    /// <summary>Whether the calling thread runs this connection's dispatch.</summary>
    public bool InOwnDispatch => _dispatch.IsMine;

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
            connection.CloseDescriptor();
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

        const Readiness reading = Readiness.Readable | Readiness.PeerClosed | Readiness.HangUp | Readiness.Error | Readiness.Priority;
        if ((readiness & reading) == 0)
        {
            return;
        }

        // The bit first, then the look for lingering; Ending does it in the other order, so that what is told at
        // that moment is discarded by one of us.
        bool resume = NoteReadable(readiness);
        if (_ending.Lingering is { } lingering)
        {
            lingering.OnReady();
        }
        else
        {
            ResumeReader(readiness, resume);
        }
    }

    public void OnFault(Exception exception)
    {
        ConnectionLog.Faulted(Shared.Logger, ConnectionId, exception);
        _ending.Begin(this, new ConnectionAbortedException("The transport met an unexpected exception.", exception));
    }

    public void Abandon()
    {
        _ending.Begin(this, new ConnectionAbortedException("The transport was disposed."));
        CloseDescriptor();
    }

    /// <summary>Has scheduling run <paramref name="work"/>, which is the reader or the writer of this connection. Any thread.</summary>
    public void Resume(IResumable work) => Shared.Scheduler.Resume(work, _loop);

    /// <summary>The same, for the top of a dispatch on the loop's thread.</summary>
    public void ResumeFromLoop(IResumable work) => Shared.Scheduler.ResumeFromLoop(work, _loop);

    public void OnHandedOff(bool isBlocked) => _dispatch.Profile.HandedOff(isBlocked);

    public bool TryLogHandOff(int loop, TimeSpan blocked)
    {
        SchedulingLog.HandedOff(Shared.Logger, loop, blocked, this);
        return true;
    }

    /// <summary>Both ends are told: what else shows that the connection is over follows.</summary>
    public void OnEnded()
    {
        _socket.Dispose();
        FireClosed();
    }

    /// <summary>Runs the callbacks of <see cref="ConnectionClosed"/>, which is the only thing of a connection that the pool is given.</summary>
    void IThreadPoolWorkItem.Execute()
    {
        try
        {
            _closed.RunCallbacks();
        }
#pragma warning disable CA1031 // A callback of the application threw: its error to know of, and not the end of the process.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            ConnectionLog.ClosedCallbackFailed(Shared.Logger, exception);
        }
    }

    /// <summary>Makes the peer read a reset, and drops what is queued in the kernel.</summary>
    public void ResetDescriptor()
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

    /// <summary>Closes the descriptor as soon as no call is in flight. Idempotent.</summary>
    public void CloseDescriptor()
    {
        if (_guard.Close())
        {
            Release();
        }
    }

    /// <summary>
    /// The sender: tell, or no longer tell, when there is room. Unix sockets become writable again with every response
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

    /// <inheritdoc cref="OwnDispatch.Begin"/>
    public void BeginDispatch(long began) => _dispatch.Begin(began);

    /// <inheritdoc cref="OwnDispatch.End"/>
    public void EndDispatch() => _dispatch.End(this);

    /// <inheritdoc cref="OwnDispatch.OnReaderWaits"/>
    public void OnReaderWaits() => _dispatch.OnReaderWaits(this);

    /// <summary>A resumed reader has looked, and is about to complete a read or to wait on.</summary>
    public void OnReaderLooked()
    {
        if (Reader.HasHungUp)
        {
            FireClosed();
        }
    }

    /// <summary>
    /// A receive left something in the kernel, and has set the bit that says so. A receive that was under way when
    /// lingering began hid it from <see cref="Ending"/>: the bit first and then lingering, as in <see cref="OnReady"/>.
    /// </summary>
    public void OnUnreadLeft()
    {
        if (_ending.Lingering is { } lingering)
        {
            _loop.Post(lingering);
        }
    }

    /// <summary>The reader received the end of the stream.</summary>
    public void OnEndOfStream()
    {
        _peerEnd.WaitForError();
        if (Reader.TryEnd(null))
        {
            _peerEnd.NoteFin(this);
        }

        FireClosed();
    }

    public void OnReceiveError(int errno)
    {
        if (_ending.HasBegun)
        {
            // What a receive says after our own reset or close is no news.
            return;
        }

        Exception exception = Describe(errno);
        Reader.TryEnd(exception);
        FireClosed();
    }

    public void OnSendError(int errno)
    {
        if (!_ending.HasBegun)
        {
            _ending.Begin(this, Describe(errno));
        }

        Writer.Close();
    }

    /// <summary>The writer was completed with an exception.</summary>
    public void OnWriterFailed(Exception exception)
    {
        if (!_ending.HasBegun)
        {
            ConnectionLog.Error(Shared.Logger, this, exception);
        }

        _ending.Begin(this, exception);
    }

    /// <summary>The writer was completed and everything is sent.</summary>
    public void OnAllSent() => _ending.Begin(this, null);

    /// <summary>
    /// Ends the connection in both directions at once. With a reason: a reset. With null, as Kestrel does it on
    /// every end that is no error: what the kernel has not taken yet is dropped, and the peer reads a FIN.
    /// </summary>
    public override void Abort(ConnectionAbortedException? abortReason) => _ending.Begin(this, abortReason);

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
        return _ending.IsDone && _closed.IsFinished ? ValueTask.CompletedTask : new ValueTask(WaitForEndAsync());
    }

    private async Task WaitForEndAsync()
    {
        await _ending.WaitAsync().ConfigureAwait(false);
        await _closed.WaitAsync().ConfigureAwait(false);
    }

    // True: the reader waited, and the caller owes it the resume.
    private bool NoteReadable(Readiness readiness)
    {
        _peerEnd.OnReady(this, readiness);
        int sticky = (PeerEnd.IsToldBy(readiness) ? AwaitWord.HangUp : 0) | ((readiness & Readiness.Priority) != 0 ? AwaitWord.Urgent : 0);
        return Reader.SetReady(sticky);
    }

    private void ResumeReader(Readiness readiness, bool resume)
    {
        if (resume)
        {
            // The resumed reader receives to the end and then fires the closed token, in the order of a pipe's ends.
            ResumeFromLoop(Reader);
        }
        else if (PeerEnd.IsToldBy(readiness) || Reader.IsCompleted)
        {
            // The application does not read now, or never again: it learns of the end by the token.
            FireClosed();
        }
    }

    // The one place where an errno of a connection becomes an exception, and a line in the log.
    private Exception Describe(int errno)
    {
        SocketException error = Errno.ToException(errno);
        if (IoResult.Failure(errno).IsReset)
        {
            ConnectionLog.Reset(Shared.Logger, this);
            return new ConnectionResetException(error.Message, error);
        }

        ConnectionLog.Error(Shared.Logger, this, error);
        return error;
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
        _ending.OnReleased(this);
    }

    private void FireClosed()
    {
        if (_closed.TryFire())
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }
}
