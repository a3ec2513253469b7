using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Listening;

/// <summary>
/// One bound endpoint: every loop, or one for all where the poller says so, accepts from its socket into one bounded queue, from which
/// <see cref="AcceptAsync"/> takes. Thread-safe.
/// </summary>
/// <remarks>
/// A place in the queue is reserved before accept(2). With none left the socket is disarmed, and the kernel's backlog
/// holds the clients. A place that a loop has reserved for a connection that another loop gets counts for that moment, so the
/// socket may be disarmed with a place a loop less. The window: the last place is given back just before a loop
/// disarms. The loop pauses (a lock, and so a fence) and then looks at the number again; who gives a place back lowers the
/// number and then looks for the pause: one of them resumes.
/// </remarks>
internal sealed class EpollListener : IConnectionListener
{
    /// <summary>The most connections that are accepted and not yet taken.</summary>
    public const int QueueLimit = 256;

    private readonly TransportEngine _engine;
    private readonly Socket _socket;
    private readonly ConnectionShared _shared;
    private readonly AcceptArming _arming;
    private readonly AcceptBackOff _backOff = new();
    private readonly LocalEndPoints _localEndPoints = new();
    private readonly Channel<EpollConnection> _accepted = Channel.CreateUnbounded<EpollConnection>();
    private readonly TaskCompletionSource _unbound = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly int _descriptor;
    private readonly bool _isTcp;
    private DescriptorGuard _guard;
    private int _queued;

    private EpollListener(TransportEngine engine, Socket socket)
    {
        _engine = engine;
        _socket = socket;
        _shared = engine.CreateSide();
        _descriptor = (int)socket.SafeHandle.DangerousGetHandle();
        EndPoint = socket.LocalEndPoint!;
        _isTcp = socket.AddressFamily is AddressFamily.InterNetwork or AddressFamily.InterNetworkV6;
        _arming = new AcceptArming(Array.ConvertAll(engine.Loops.ForListener().ToArray(), loop => new AcceptHandler(this, loop)), _descriptor);
    }

    /// <summary>The address that is listened on, with the port that the kernel chose for port 0.</summary>
    public EndPoint EndPoint { get; }

    /// <exception cref="AddressInUseException">The address is in use.</exception>
    /// <exception cref="SocketException">The endpoint can't be bound for another reason.</exception>
    public static EpollListener Bind(TransportEngine engine, EndPoint endPoint)
    {
        Socket socket = ListenSocket.Create(endPoint, engine.Options);
        try
        {
            EpollListener listener = new(engine, socket);
            engine.Headroom.Prepare(listener._descriptor);
            IoResult armed = listener._arming.Arm();
            return armed.IsError ? throw Errno.ToException(armed.Errno) : listener;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>
    /// The next connection; null once the endpoint is unbound.
    /// </summary>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    /// <exception cref="SocketException">The listening socket became unusable.</exception>
    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            while (await _accepted.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            {
                if (_accepted.Reader.TryRead(out EpollConnection? connection))
                {
                    GivePlaceBack();
                    return connection;
                }
            }
        }
        catch (Exception exception) when (_guard.IsClosing && exception is not OperationCanceledException)
        {
            // It was unusable, and now it is unbound: nobody needs to know why nothing came.
        }

        return null;
    }

    /// <summary>
    /// Stops listening. What waits in the queue is aborted, as the kernel resets what waits in its backlog; what the
    /// application has taken lives on. Idempotent.
    /// </summary>
    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        BeginUnbind();
        return new ValueTask(_unbound.Task);
    }

    /// <summary>Unbinds. Connections in use live on. Idempotent.</summary>
    public ValueTask DisposeAsync() => UnbindAsync();

    /// <summary>Deregisters; the socket is disposed when the last accept that is in progress has left.</summary>
    public void BeginUnbind()
    {
        _arming.Pause(AcceptPause.Unbound);
        if (_guard.Close())
        {
            FinishUnbind();
        }
    }

    /// <summary>Connections wait. On the thread of the handler's loop.</summary>
    public void OnAcceptable(AcceptHandler handler)
    {
        if (!_guard.TryEnter())
        {
            return;
        }

        SocketAddress address = handler.TakeAddress();
        try
        {
            AcceptSome(handler.Loop, handler.TakeBudget(), address);
        }
        finally
        {
            handler.ReturnAddress(address);
            if (_guard.Leave())
            {
                FinishUnbind();
            }
        }
    }

    /// <summary>No connection will be accepted any more, and <see cref="AcceptAsync"/> says why.</summary>
    public void Fault(Exception exception)
    {
        AcceptLog.Unusable(_engine.Logger, EndPoint, exception);
        _arming.Pause(AcceptPause.Unbound);
        _accepted.Writer.TryComplete(exception);
    }

    private void AcceptSome(EventLoop loop, int most, SocketAddress address)
    {
        for (int i = 0; i < most; i++)
        {
            if (Interlocked.Increment(ref _queued) > QueueLimit)
            {
                Interlocked.Decrement(ref _queued);
                PauseForFullQueue();
                return;
            }

            IoResult accepted = _engine.Headroom.Accept(_descriptor, address);
            if (accepted.IsError)
            {
                GivePlaceBack();
                if (!OnAcceptError(loop, accepted.Errno))
                {
                    return;
                }
            }
            else if (!TryStart(loop, (int)accepted.Value, address))
            {
                GivePlaceBack();
            }
            else
            {
                _backOff.Reset();
            }
        }
    }

    private bool TryStart(EventLoop loop, int descriptor, SocketAddress address)
    {
        EndPoint? remote = SocketAddresses.ToEndPoint(address);
        EndPoint? local = EndPoint;
        if (_isTcp)
        {
            local = SystemCalls.GetLocalAddress(descriptor, address).IsError ? null : _localEndPoints.Get(address);
        }

        EpollConnection? connection = _engine.TryStart(
            _shared, _engine.Loops.Balance(loop), descriptor, _isTcp, local, remote, out int errno);
        if (connection is null)
        {
            ReportFailure(errno);
            return false;
        }

        if (_accepted.Writer.TryWrite(connection))
        {
            return true;
        }

        // Faulted meanwhile, by another loop.
        connection.Abandon();
        return false;
    }

    // True: go on with the next connection.
    private bool OnAcceptError(EventLoop loop, int errno)
    {
        AcceptError error = AcceptErrors.Classify(errno);
        switch (error)
        {
            case AcceptError.None:
                return false;
            case AcceptError.ConnectionGone:
                return true;
            case AcceptError.Unusable:
                Fault(Errno.ToException(errno));
                return false;
            default:
                BackOff(loop);
                ReportFailure(errno);
                return false;
        }
    }

    private void BackOff(EventLoop loop)
    {
        if (_arming.Pause(AcceptPause.BackOff))
        {
            loop.Schedule(new EndBackOff(this, loop), _backOff.NextDelayMs());
        }
    }

    private void ReportFailure(int errno)
    {
        SocketException exception = Errno.ToException(errno);
        _engine.Metrics.AcceptFailed(exception.SocketErrorCode.ToString());
        if (!_backOff.ShouldReport(out long failures))
        {
            return;
        }

        if (AcceptErrors.Classify(errno) == AcceptError.OutOfResources)
        {
            AcceptLog.OutOfResources(_engine.Logger, EndPoint, exception.Message, failures);
        }
        else
        {
            AcceptLog.Failed(_engine.Logger, EndPoint, exception.Message, failures);
        }
    }

    private void PauseForFullQueue()
    {
        _arming.Pause(AcceptPause.QueueFull);
        ResumeIfQueueHasRoom();
    }

    // Taken, or reserved for a connection that did not come: another loop may have paused because of it.
    private void GivePlaceBack()
    {
        Interlocked.Decrement(ref _queued);
        if (_arming.IsPausedFor(AcceptPause.QueueFull))
        {
            ResumeIfQueueHasRoom();
        }
    }

    private void ResumeIfQueueHasRoom()
    {
        if (Volatile.Read(ref _queued) <= QueueLimit / 2 && _arming.Resume(AcceptPause.QueueFull).IsError)
        {
            // No loop can register: out of memory. A loop tries again, and again later.
            EventLoop loop = _engine.Loops.Loops[0];
            loop.Post(new EndBackOff(this, loop));
        }
    }

    private void FinishUnbind()
    {
        try
        {
            _socket.Dispose();
        }
        finally
        {
            _accepted.Writer.TryComplete();
            while (_accepted.Reader.TryRead(out EpollConnection? connection))
            {
                connection.Abort(new ConnectionAbortedException("The endpoint was unbound before the connection was taken."));
            }

            _unbound.TrySetResult();
        }
    }

    /// <summary>The timer that ends a back-off.</summary>
    private sealed class EndBackOff(EpollListener listener, EventLoop loop) : ILoopWork
    {
        public void Execute()
        {
            if (listener._arming.Resume(AcceptPause.BackOff).IsError && !loop.HasEnded)
            {
                listener.BackOff(loop);
            }
        }
    }
}
