using System.Collections.Concurrent;
using KestrelEpollTransport.Diagnostics;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Scheduling;

/// <summary>Something with marked, unsent bytes.</summary>
internal interface IWatchedFlush
{
    /// <summary>The watch took this out of its queue: send what is still marked. On the watch's thread.</summary>
    void OnWatchLook();
}

/// <summary>
/// Bounds how long flushed bytes may wait to be gathered: the watch looks at the connections with marked bytes and sends
/// them, whatever their handlers do meanwhile. Thread-safe.
/// </summary>
internal sealed class FlushWatch : IWatched
{
    private readonly WatchThread _thread;
    private readonly ILogger _logger;
    private readonly ConcurrentQueue<IWatchedFlush> _queue = new();

    public FlushWatch(WatchThread thread, ILogger logger)
    {
        _thread = thread;
        _logger = logger;
        thread.Add(this);
    }

    bool IWatched.IsQuiet => _queue.IsEmpty;

    /// <summary>Has the watch look at <paramref name="flush"/> once, within about 2 ms.</summary>
    public void Add(IWatchedFlush flush)
    {
        _queue.Enqueue(flush);
        Interlocked.MemoryBarrier();
        _thread.Unpark();
    }

    void IWatched.Look(TimeSpan elapsed)
    {
        for (int i = _queue.Count; i > 0 && _queue.TryDequeue(out IWatchedFlush? flush); i--)
        {
            try
            {
                flush.OnWatchLook();
            }
#pragma warning disable CA1031 // What the application gave us, such as a memory pool, may throw; the other connections' bytes wait here.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                LoopLog.WatchFaulted(_logger, exception);
            }
        }
    }
}
