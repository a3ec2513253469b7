using KestrelEpollTransport.Diagnostics;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Loops;

/// <summary>The thread that drives one loop, from <see cref="Start"/> until the loop is stopped.</summary>
internal sealed class LoopThread
{
    private readonly EventLoop _loop;
    private readonly ILogger _logger;
    private readonly Thread _thread;

    public LoopThread(EventLoop loop, ILogger logger)
    {
        _loop = loop;
        _logger = logger;
        // Background: a process that forgets to dispose still ends. The default stack size: handlers run here
        // and may be as deep as on the thread pool.
        _thread = new Thread(Run) { IsBackground = true, Name = $"epoll loop {loop.Index}" };
    }

    // UnsafeStart: a loop outlives the request that happened to start it and must not carry its AsyncLocals.
    public void Start() => _thread.UnsafeStart();

    /// <summary>Waits for the thread to end; false if it did not in time. A thread does not wait for itself.</summary>
    public bool Join(TimeSpan timeout) => _thread != Thread.CurrentThread && _thread.Join(timeout);

    private void Run()
    {
        ThreadBaseline baseline = ThreadBaseline.Capture(_thread.Name!);
        _loop.OnDriven();
        try
        {
            while (_loop.OnRunPass(baseline))
            {
            }
        }
#pragma warning disable CA1031 // The poller itself is broken. The process lives on, this loop's connections don't.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            LoopLog.Died(_logger, _loop.Index, exception);
            foreach (ILoopHandler handler in _loop.RefuseFurtherHandlers())
            {
                handler.OnFault(exception);
            }
        }

        _loop.OnEnded();
    }
}
