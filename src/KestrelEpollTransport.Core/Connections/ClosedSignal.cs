using KestrelEpollTransport.Diagnostics;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The token that says that a connection is over, and the running of its callbacks: once, on the thread pool,
/// where they may block. Thread-safe.
/// </summary>
internal sealed class ClosedSignal : IThreadPoolWorkItem
{
    private readonly ILogger _logger;

    private OneShotSignal _finished;

    // Under the lock, which is this object: nobody outside the transport sees it. Made when somebody asks for the token.
    private CancellationTokenSource? _source;
    private bool _fired;

    public ClosedSignal(ILogger logger) => _logger = logger;

    public CancellationToken Token
    {
        get
        {
            lock (this)
            {
                if (_fired && _source is null)
                {
                    return new CancellationToken(canceled: true);
                }

                return (_source ??= new CancellationTokenSource()).Token;
            }
        }
    }

    public bool IsFinished => _finished.IsSet;

    /// <summary>Ends when all callbacks have run; pending until <see cref="Fire"/> was called.</summary>
    public Task WaitAsync() => _finished.WaitAsync();

    /// <summary>Cancels the token; idempotent. Returns at once.</summary>
    public void Fire()
    {
        if (Volatile.Read(ref _fired))
        {
            return;
        }

        lock (this)
        {
            if (_fired)
            {
                return;
            }

            Volatile.Write(ref _fired, true);
        }

        // From here on nobody makes a source any more.
        if (_source is null)
        {
            _finished.Set();
            return;
        }

        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    void IThreadPoolWorkItem.Execute()
    {
        try
        {
            _source!.Cancel();
        }
#pragma warning disable CA1031 // A callback of the application threw: its error to know of, and not the end of the process.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            ConnectionLog.ClosedCallbackFailed(_logger, exception);
        }

        _finished.Set();
    }
}
