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
using Microsoft.Extensions.Logging;

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
internal sealed partial class EpollConnection : TransportConnection, ILoopHandler, IDuplexPipe, IThreadPoolWorkItem
{
    private const string GracefulReason = "The Epoll transport's send loop completed gracefully.";

    // Immutable.
    private readonly int _descriptor;

    // Any thread.
    private DescriptorGuard _guard;
    private ConnectionLifetime _lifetime;
    private DuplicateSocket _socket;
    private OwnDispatch _dispatch;
    private UnreadInput? _unread;
    private ApplicationContext? _applicationContext;
    private SampledConnection? _sampled;
    private bool _endsByError;
    private int _logging;

    // The application, one thread at a time.
    private object? _replacedConnectionClosed;

    private EpollConnection(ConnectionShared shared, EventLoop loop, BlockSource blocks, int descriptor, bool isTcp)
    {
        Shared = shared;
        Blocks = blocks;
        Loop = loop;
        _descriptor = descriptor;
        IsTcp = isTcp;
        _dispatch = new OwnDispatch(shared.History);
        Reader = new ConnectionReader(this);
        Writer = new ConnectionWriter(this);
        Transport = this;
    }

    public ConnectionShared Shared { get; }

    public EventLoop Loop { get; }

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

    public override ApplicationContext? ApplicationContext =>
        _applicationContext ?? (Shared.Continuations is { } histories ? CreateApplicationContext(histories) : null);

    /// <summary>Whether the socket is TCP's, and not a unix socket.</summary>
    public bool IsTcp { get; }

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
        else if (isTcp && shared.Sampling is { } sampling)
        {
            // It may have ended by now, but is not released before this call has left.
            connection._sampled = sampling.Add(connection, shared.IsClient ? $"{remote}" : TcpMetrics.ServerTarget);
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
        bool failed = (readiness & Readiness.Error) != 0 && TakeSocketError();
        bool peerEnded = failed || (readiness & (Readiness.PeerClosed | Readiness.HangUp)) != 0;
        if (peerEnded || (readiness & (Readiness.Readable | Readiness.Priority)) != 0)
        {
            OnReadable(peerEnded, isUrgent: (readiness & Readiness.Priority) != 0);
        }

        if (failed)
        {
            OnEndNoted();
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
    public void Resume(IResumable work) => Shared.Scheduler.Resume(work, Loop);

    /// <summary>The same, for the top of a dispatch on the loop's thread.</summary>
    public void ResumeFromLoop(IResumable work) => Shared.Scheduler.ResumeFromLoop(work, Loop);

    /// <summary>The same for the reader, by who ended its wait, or made it none: the next dispatch could begin now.</summary>
    public void ResumeReader()
    {
        _dispatch.OnReady(Stopwatch.GetTimestamp());
        Resume(Reader);
    }

    /// <summary>The same for a continuation that came late, if one did.</summary>
    public void ResumeLate(Continuation continuation, bool isRead)
    {
        if (!continuation.IsNone)
        {
            if (isRead)
            {
                _dispatch.OnReady(Stopwatch.GetTimestamp());
            }

            Resume(new LateContinuation(this, continuation, isRead));
        }
    }

    public void OnHandedOff(bool isBlocked) => _dispatch.Profile.HandedOff(isBlocked);

    public void LogHandOff(ILogger logger, int loop, TimeSpan blocked) => SchedulingLog.HandedOff(Shared.Logger, loop, blocked, this);

    public bool TryFailOwnWait() => Volatile.Read(ref _logging) == 0 && (Reader.TryFailWait() | Writer.TryFailWait());

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
            _ = Loop.Modify(this, descriptor, ask ? Interest.Read | Interest.Write : Interest.Read);
            LeaveDescriptor();
        }
    }

    /// <summary>
    /// Something is left in the kernel of which nobody will be told again. It is received ahead: on the next pass of the loop if somebody
    /// depends on it, and else when the application has left it for too long.
    /// </summary>
    /// <param name="isUrgent">The peer has ended, which is told after what it sent; or a receiving ahead has to go on.</param>
    public void OnUnreadLeft(bool isUrgent) => Unread.Queue(isUrgent);

    private ApplicationContext CreateApplicationContext(ContinuationHistories histories)
    {
        ApplicationContext created = new(this, histories);
        ApplicationContext context = Interlocked.CompareExchange(ref _applicationContext, created, null) ?? created;

        // Either this sees that the connection has ended, or its end sees the context.
        if (TryEnterDescriptor(out _))
        {
            LeaveDescriptor();
        }
        else
        {
            context.OnConnectionEnded();
        }

        return context;
    }

    private void OnReadable(bool peerEnded, bool isUrgent)
    {
        if (Reader.SetReady((peerEnded ? ReadState.HangUp : 0) | (isUrgent ? ReadState.Urgent : 0)))
        {
            // It receives to the end and then says so, in the order of a pipe's ends.
            _dispatch.OnReady(Loop.ReadySince);
            ResumeFromLoop(Reader);
        }
        else if (Volatile.Read(ref _unread) is { IsLingering: true } lingering)
        {
            lingering.Discard();
        }
        else if (Reader.IsCompleted)
        {
            OnInputRefused();
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
}
