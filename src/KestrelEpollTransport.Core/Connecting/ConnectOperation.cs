using System.Net;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Connecting;

/// <summary>
/// One attempt to connect. The descriptor belongs to <see cref="RunAsync"/> alone until it becomes a connection; the loop, a cancellation and the disposal
/// of the transport only end its wait.
/// </summary>
internal sealed class ConnectOperation : ILoopHandler
{
    /// <summary>How long to wait for room in the backlog of a unix listener, of which nothing tells, connect(2).</summary>
    private static readonly TimeSpan s_backlogRetry = TimeSpan.FromMilliseconds(10);

    private readonly TransportEngine _engine;
    private readonly EndPoint _endPoint;
    private readonly SocketAddress _address;
    private readonly bool _isTcp;
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ConnectOperation(TransportEngine engine, EndPoint endPoint)
    {
        SystemFeatureChecks.Check(endPoint);
        SystemFeatureChecks.Check(engine.SocketSettings);
        _engine = engine;
        _endPoint = endPoint;
        _address = endPoint.Serialize();
        _isTcp = endPoint is IPEndPoint;
    }

    public Token Token { get; set; }

    public async Task<EpollConnection> RunAsync(CancellationToken cancellationToken)
    {
        EventLoop loop = _engine.Loops.Next();
        int descriptor = (int)Check(SystemCalls.CreateStream(_address)).Value;
        EndPoint? local;
        try
        {
            if (_isTcp && _engine.Options.NoDelay)
            {
                Check(SystemCalls.SetNoDelay(descriptor));
            }

            _engine.SocketSettings.Apply(descriptor, _address.Family, SettingPlaces.Client);

            // Also where no loop knows this one: a backlog is waited for on none.
            using (_engine.Disposing.UnsafeRegister(static operation => ((ConnectOperation)operation!).Abandon(), this))
            using (cancellationToken.UnsafeRegister(static (operation, token) => ((ConnectOperation)operation!)._ready.TrySetCanceled(token), this))
            {
                await ConnectAsync(loop, descriptor).ConfigureAwait(false);
            }

            local = GetLocalEndPoint(descriptor);
        }
        catch
        {
            SystemCalls.Close(descriptor);
            throw;
        }

        return TryStart(loop, descriptor, local, out int errno) ?? throw ToException(errno);
    }

    // Any readiness ends the wait: writable after success, an error or a hang-up after failure.
    public void OnReady(Readiness readiness) => _ready.TrySetResult();

    public void OnFault(Exception exception) => _ready.TrySetException(exception);

    public void Abandon() => _ready.TrySetException(new ObjectDisposedException(nameof(EpollConnectionFactory)));

    private async Task ConnectAsync(EventLoop loop, int descriptor)
    {
        IoResult connected = SystemCalls.Connect(descriptor, _address);
        while (!_isTcp && connected.WouldBlock)
        {
            await Task.WhenAny(_ready.Task, Task.Delay(s_backlogRetry)).ConfigureAwait(false);
            if (_ready.Task.IsCompleted)
            {
                await _ready.Task.ConfigureAwait(false);
            }

            connected = SystemCalls.Connect(descriptor, _address);
        }

        if (connected.Errno != Errno.EINPROGRESS)
        {
            Check(connected);
            return;
        }

        Check(loop.Register(this, descriptor, Interest.Write));
        try
        {
            await _ready.Task.ConfigureAwait(false);
        }
        finally
        {
            loop.Deregister(this, descriptor);
        }

        int errno = SystemCalls.TakeSocketError(descriptor);
        if (errno != 0)
        {
            throw Errno.ToException(errno);
        }
    }

    private static EndPoint? GetLocalEndPoint(int descriptor)
    {
        SocketAddress address = SocketAddresses.CreateBuffer();
        return SystemCalls.GetLocalAddress(descriptor, address).IsError ? null : SocketAddresses.ToEndPoint(address);
    }

    private EpollConnection? TryStart(EventLoop loop, int descriptor, EndPoint? local, out int errno)
    {
        try
        {
            return _engine.TryStart(_engine.ClientSide, loop, descriptor, _isTcp, local, _endPoint, out errno);
        }
        catch
        {
            SystemCalls.Close(descriptor);
            throw;
        }
    }

    private IoResult Check(IoResult result) => result.IsError ? throw ToException(result.Errno) : result;

    private Exception ToException(int errno) => _engine.ToException(errno, nameof(EpollConnectionFactory));
}
