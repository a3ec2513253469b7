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
/// Bounds how long flushed bytes may wait to be gathered: one thread that looks every 2 ms at the connections
/// with marked bytes and sends them, whatever their handlers do meanwhile. Thread-safe.
/// </summary>
/// <remarks>
/// The thread starts at the first mark and parks after about 100 looks at nothing. The window: a mark is
/// enqueued after the thread saw the queue empty and before it parks. The thread sets the parked flag, fences,
/// reads the queue; <see cref="Add"/> writes the queue, fences, reads the flag: one of them sees the other.
/// </remarks>
internal sealed class FlushWatch : IDisposable
{
    // A sleep of 1 ms costs 1.8 % of a core while it lasts, one of 2 ms 0.8 %, and 5 ms is what we promise.
    private const int LookEveryMs = 2;
    private const int LooksBeforeParking = 100;

    private readonly ILogger _logger;
    private readonly ConcurrentQueue<IWatchedFlush> _queue = new();
    private readonly SemaphoreSlim _unpark = new(0);
    private int _parked;
    private int _started;
    private volatile bool _disposed;

    public FlushWatch(ILogger logger) => _logger = logger;

    /// <summary>Has the thread look at <paramref name="flush"/> once, within about 2 ms.</summary>
    public void Add(IWatchedFlush flush)
    {
        _queue.Enqueue(flush);
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _parked) == 1 && Interlocked.Exchange(ref _parked, 0) == 1)
        {
            _unpark.Release();
        }

        if (Volatile.Read(ref _started) == 0 && Interlocked.Exchange(ref _started, 1) == 0)
        {
            new Thread(Run) { IsBackground = true, Name = "epoll flush watch" }.UnsafeStart();
        }
    }

    /// <summary>Ends the thread, after a last look at everything in the queue.</summary>
    public void Dispose()
    {
        _disposed = true;
        _unpark.Release();
    }

    private void Run()
    {
        int idleLooks = 0;
        while (!_disposed)
        {
            Thread.Sleep(LookEveryMs);
            if (Look())
            {
                idleLooks = 0;
            }
            else if (++idleLooks >= LooksBeforeParking)
            {
                idleLooks = 0;
                Park();
            }
        }

        Look();
    }

    private bool Look()
    {
        int count = _queue.Count;
        for (int i = 0; i < count && _queue.TryDequeue(out IWatchedFlush? flush); i++)
        {
            try
            {
                flush.OnWatchLook();
            }
#pragma warning disable CA1031 // A logger of the application may throw; the other connections' bytes wait here.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                LoopLog.WatchFaulted(_logger, exception);
            }
        }

        return count > 0;
    }

    private void Park()
    {
        Interlocked.Exchange(ref _parked, 1);
        if (_queue.IsEmpty && !_disposed)
        {
            _unpark.Wait();
        }

        // Whoever took the flag has released, or will release, the semaphore: that makes one later park return
        // at once, and no more.
        Volatile.Write(ref _parked, 0);
    }
}
