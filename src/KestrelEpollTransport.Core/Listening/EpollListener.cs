using System.Net;
using System.Net.Sockets;
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
/// <para>Unbinding takes what the kernel has queued, on the thread of its caller and without a limit of its own, and leaves it to
/// <see cref="AcceptAsync"/>: see <see cref="ListenSocket"/> for when not.</para>
/// <para>An exception that one connection causes costs that connection: <see cref="AcceptOne"/> closes its descriptor and gives its
/// place back. One that no connection causes, or the end of a loop, costs a pause: <see cref="BackOff"/>.</para>
/// </remarks>
internal sealed class EpollListener : IConnectionListener
{
    private readonly TransportEngine _engine;
    private readonly ListenSocket _socket;
    private readonly AcceptedSetup? _setup;
    private readonly ConnectionShared _shared;
    private readonly AcceptHandler[] _handlers;
    private readonly AcceptArming _arming;
    private readonly AcceptPlaces _places;
    private readonly AcceptFailures _failures = new();
    private readonly AcceptReports _reports;
    private readonly AcceptedQueue _accepted;
    private readonly TaskCompletionSource _unbound = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly int _descriptor;
    private CancellationTokenRegistration _disposing;
    private DescriptorGuard _guard;
    private volatile bool _isDisposed;

    private EpollListener(TransportEngine engine, ListenSocket socket)
    {
        _engine = engine;
        _socket = socket;
        _setup = AcceptedSetup.Create(engine.SocketSettings, engine.Options.Sockets.ConfigureAcceptedSocket, socket.Socket.AddressFamily);
        _shared = engine.CreateSide();
        _descriptor = socket.Descriptor;
        EndPoint = socket.Socket.LocalEndPoint!;
        _reports = new AcceptReports(_failures, EndPoint, engine.Logger, engine.Metrics);
        _handlers = Array.ConvertAll(engine.Loops.ForListener(), loop => new AcceptHandler(this, loop));
        _arming = new AcceptArming(_handlers, _descriptor);
        _places = new AcceptPlaces(_arming, engine.Metrics);
        _accepted = new AcceptedQueue(engine.Metrics);
    }

    /// <summary>The address that is listened on, with the port that the kernel chose for port 0.</summary>
    public EndPoint EndPoint { get; }

    /// <summary>How many connections are accepted and not yet taken.</summary>
    public int Queued => _accepted.Count;

    /// <exception cref="AddressInUseException">The address is in use.</exception>
    /// <exception cref="ObjectDisposedException">The transport was disposed.</exception>
    /// <exception cref="SocketException">The endpoint can't be bound for another reason.</exception>
    public static EpollListener Bind(TransportEngine engine, EndPoint endPoint)
    {
        ListenSocket socket = ListenSocket.Create(endPoint, engine.Options, engine.SocketSettings);
        try
        {
            EpollListener listener = new(engine, socket);
            engine.Headroom.Prepare(listener._descriptor);
            IoResult armed = listener._arming.Arm();
            if (armed.IsError)
            {
                throw engine.ToException(armed.Errno, nameof(EpollTransportFactory));
            }

            // No loop knows a listener that pauses, so their end is not enough. It may be now.
            engine.Listeners.Add(listener);
            listener._disposing = engine.Disposing.UnsafeRegister(static state => ((EpollListener)state!).Abandon(), listener);
            engine.Serving.OnBound(engine, listener.EndPoint);
            return listener;
        }
        catch
        {
            socket.Close();
            throw;
        }
    }

    /// <summary>
    /// The next connection. Null once the endpoint is unbound and every connection was taken, or the listener or the transport is disposed of.
    /// </summary>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    /// <exception cref="SocketException">The listening socket became unusable.</exception>
    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            while (await _accepted.WaitAsync(cancellationToken).ConfigureAwait(false))
            {
                if (_accepted.TryTake() is { } connection)
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
    /// Stops listening, having accepted what waits in the kernel's queue, unless others go on with that. <see cref="AcceptAsync"/> still
    /// gives what was accepted; what the application has taken lives on. Idempotent.
    /// </summary>
    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        // Entered before the pause: who unbinds at the same moment finds the pause, and must not close the socket under the first one.
        if (_guard.TryEnter())
        {
            try
            {
                if (_arming.Pause(AcceptPause.Unbound) && !_socket.LeavesQueue)
                {
                    AcceptRest();
                }
            }
            finally
            {
                // Before the last one leaves, who then closes it.
                BeginUnbind();
                Leave();
            }
        }

        return new ValueTask(_unbound.Task);
    }

    /// <summary>
    /// As <see cref="UnbindAsync"/>, but before it TCP clients that have begun to connect may go on with that for a while: who has the kernel's
    /// answer believes to be connected, before the kernel does. A unix client is connected at once.
    /// </summary>
    public async Task UnbindBehindHandshakesAsync(TimeSpan handshakes)
    {
        if (_socket.IsTcp && !_socket.LeavesQueue && _guard.TryEnter())
        {
            _socket.StopQueueing();
            Leave();
            await Task.Delay(handshakes).ConfigureAwait(false);
        }

        await UnbindAsync().ConfigureAwait(false);
    }

    /// <summary>Unbinds, and aborts what nobody has taken. Connections in use live on. Idempotent.</summary>
    public ValueTask DisposeAsync()
    {
        Abandon();
        return new ValueTask(_unbound.Task);
    }

    /// <summary>The same for who does not wait: the transport is disposed, or ended by a fault. What waits in the kernel's queue is reset.</summary>
    public void Abandon()
    {
        _isDisposed = true;
        _arming.Pause(AcceptPause.Unbound);
        BeginUnbind();

        // It may have been unbound before, and nobody else looks any more. What comes after this, the end of the unbinding aborts.
        _accepted.DiscardAll();
    }

    // The socket is closed when the last accept that is in progress has left.
    private void BeginUnbind()
    {
        if (_guard.Close())
        {
            FinishUnbind();
        }
    }

    private void Leave()
    {
        if (_guard.Leave())
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
            for (int i = handler.TakeBudget(handler.Loop.Totals.Events, handler.Loop.Load); i > 0 && AcceptOne(handler, address); i--)
            {
            }
        }
        finally
        {
            handler.ReturnAddress(address);
            Leave();
        }
    }

    /// <summary>
    /// Stops accepting for a while, on whatever loops live then. If none does, no connection will be accepted any more, and <see cref="AcceptAsync"/> says
    /// why. Any thread.
    /// </summary>
    /// <param name="reason">What failed, apart from one connection.</param>
    public void BackOff(Exception reason)
    {
        if (_engine.Loops.FindLiving() is not { } loop)
        {
            Fault(reason);
        }
        else if (_arming.Pause(AcceptPause.BackOff))
        {
            // Before it is counted, which may enter code of the application's.
            loop.Schedule(new EndBackOff(this), _failures.NextDelayMs());
            _engine.Metrics.AcceptPaused(isBackOff: true);
        }
    }

    private void Fault(Exception exception)
    {
        if (_arming.Pause(AcceptPause.Unbound))
        {
            _accepted.End(exception);
            AcceptLog.Unusable(_engine.Logger, EndPoint, exception);
        }
    }

    // True: go on with the next connection.
    private bool AcceptOne(AcceptHandler handler, SocketAddress address)
    {
        if (_places.TryTake())
        {
            return AcceptReserved(handler, address);
        }

        GivePlaceBack();
        return false;
    }

    // For a place that was counted. True: go on with the next connection.
    private bool AcceptReserved(AcceptHandler handler, SocketAddress address)
    {
        IoResult accepted;
        try
        {
            accepted = _engine.Headroom.Accept(_descriptor, address);
        }
        catch
        {
            GivePlaceBack();
            throw;
        }

        if (accepted.IsError)
        {
            GivePlaceBack();
            return OnAcceptError(accepted.Errno);
        }

        if (_setup is not null && !_setup.TryApply((int)accepted.Value, _reports))
        {
            GivePlaceBack();
            return true;
        }

        if (Start(handler, (int)accepted.Value, address) is { } failure)
        {
            GivePlaceBack();
            _reports.Refused(RefusedConnections.NotStarted);
            _reports.Report(failure);
        }
        else
        {
            _engine.Metrics.Accepted(_socket.IsTcp);
            _failures.Reset();
        }

        return true;
    }

    // Null: it is in the queue, or the listener was faulted meanwhile.
    private Exception? Start(AcceptHandler handler, int descriptor, SocketAddress address)
    {
        EpollConnection? connection;
        int errno;
        try
        {
            EndPoint? remote = SocketAddresses.ToEndPoint(address);
            EndPoint? local = _socket.IsTcp ? handler.LocalEndPointOf(descriptor, address) : EndPoint;
            EventLoop loop = _engine.Loops.Balance(handler.Loop);
            connection = _engine.TryStart(_shared, loop, descriptor, _socket.IsTcp, local, remote, out errno);
        }
#pragma warning disable CA1031 // One connection's, whatever it is: those behind it are to be accepted.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            // Still ours: the engine throws nothing once it has it.
            SystemCalls.Close(descriptor);
            return exception;
        }

        if (connection is null)
        {
            return Errno.ToException(errno);
        }

        _accepted.Add(connection);
        return null;
    }

    // True: go on with the next connection.
    private bool OnAcceptError(int errno)
    {
        switch (AcceptFailures.Classify(errno))
        {
            case AcceptError.NothingWaits:
                return false;
            case AcceptError.ConnectionGone:
            case AcceptError.OutOfResources when _engine.TryCloseLingerer():
                return true;
            case AcceptError.Unusable:
                Fault(Errno.ToException(errno));
                return false;
            default:
                SocketException exception = Errno.ToException(errno);
                BackOff(exception);
                _reports.Report(exception);
                return false;
        }
    }

    // Taken, or reserved for a connection that did not come: another loop may have paused because of it.
    private void GivePlaceBack()
    {
        if (_places.GiveBack())
        {
            Resume(AcceptPause.QueueFull);
        }
    }

    // No loop can register, as when memory ran out, or none that had is left: tried again later.
    private void Resume(AcceptPause reason)
    {
        IoResult resumed = _arming.Resume(reason);
        if (resumed.IsError)
        {
            BackOff(Errno.ToException(resumed.Errno));
        }
    }

    // More than the queue's limit, if it must be: the kernel's queue is as long as we asked it to be, and one more.
    private void AcceptRest()
    {
        _socket.StopQueueing();
        SocketAddress address = _handlers[0].TakeAddress();
        for (int i = 0; i <= _engine.Options.Backlog; i++)
        {
            _places.Take();
            if (!AcceptReserved(_handlers[i % _handlers.Length], address))
            {
                break;
            }
        }
    }

    private void FinishUnbind()
    {
        try
        {
            // Not waited for: this may be that call.
            _disposing.Unregister();
            _engine.Listeners.Remove(this);
            _socket.Close();
        }
        finally
        {
            _accepted.End(reason: null);
            try
            {
                if (_isDisposed)
                {
                    _accepted.DiscardAll();
                }
            }
            finally
            {
                _unbound.TrySetResult();
            }
        }
    }

    /// <summary>The timer that ends a back-off. The thread pool runs what a loop that ended leaves.</summary>
    private sealed class EndBackOff(EpollListener listener) : ILoopWork
    {
        public void Execute() => listener.Resume(AcceptPause.BackOff);
    }
}
