using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Connections;

/// <summary>A timer for what a transport looks at again and again, from when there is something to look at. Thread-safe.</summary>
/// <param name="look">Called on the thread pool, again while it is still running if it takes longer than <paramref name="period"/>.</param>
/// <param name="period">From one call to the next.</param>
internal sealed class LateTimer(Action look, TimeSpan period) : IDisposable
{
    private readonly Lock _lock = new();
    private Timer? _timer;
    private volatile bool _isDecided;

    /// <summary>Begins, unless it has, or was disposed of.</summary>
    public void Start()
    {
        if (_isDecided)
        {
            return;
        }

        using (_lock.Hold())
        {
            _timer ??= _isDecided ? null : Uninterrupted.Call(this, static late => late.Create());
            _isDecided = true;
        }
    }

    /// <summary>No call begins after it; one may still be running.</summary>
    public void Dispose()
    {
        using (_lock.Hold())
        {
            _isDecided = true;
            Uninterrupted.Call(_timer, static timer =>
            {
                timer?.Dispose();
                return true;
            });
        }
    }

    // The context of the request that happens to come first must not live on in it.
    private Timer Create()
    {
        using AsyncFlowControl _ = ExecutionContext.SuppressFlow();
        return new Timer(static look => ((Action)look!)(), look, period, period);
    }
}
