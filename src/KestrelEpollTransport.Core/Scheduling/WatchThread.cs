using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Scheduling;

/// <summary>Something that the watch looks at.</summary>
internal interface IWatched
{
    /// <summary>Whether there is nothing to look at.</summary>
    bool IsQuiet { get; }

    /// <summary>Looks. On the watch's thread, which must not block.</summary>
    /// <param name="elapsed">Since the look before; zero if the time proves nothing, because this thread, and so perhaps any
    /// other, was kept from running meanwhile.</param>
    void Look(TimeSpan elapsed);
}

/// <summary>
/// The one thread that sees what others are too busy to see: it looks every 3 ms, and parks while there is nothing to look at.
/// Thread-safe.
/// </summary>
/// <remarks>
/// Parks after 200 ms of quiet looks. The window: something begins after the last look and before the thread parks. The thread
/// sets the parked flag, fences, and asks everything that it watches once more; whoever begins something makes it
/// visible, fences, and calls <see cref="Unpark"/>, which reads the flag: one of them sees the other.
/// </remarks>
internal sealed class WatchThread(ILogger logger) : IDisposable
{
    // A look costs 20 to 26 µs of a busy machine's processors, most of it the kernel's for sleeping: 1.0 to 1.3 % of one every 2 ms.
    private const int LookEveryMs = 3;
    private const int LooksBeforeParking = 200 / LookEveryMs;

    /// <summary>A look that comes later than this says more about the machine than about what it sees.</summary>
    private static readonly TimeSpan s_late = TimeSpan.FromMilliseconds(2 * LookEveryMs);

    // Whoever unparks may be a thread that was interrupted: this takes no lock that an interrupt could end the wait for.
    private readonly AutoResetEvent _unpark = new(false);
    private volatile IWatched[] _watched = [];
    private int _parked = 1;
    private volatile bool _disposed;

    // Of the thread; and of who unparked it first, and so starts it.
    private bool _isStarted;
    private long _lookedAt;
    private TimeSpan _pauses;

    /// <summary>How long a look takes to come.</summary>
    public static TimeSpan Interval { get; } = TimeSpan.FromMilliseconds(LookEveryMs);

    /// <summary>Whether it sleeps until it is unparked, or was not started. For looking only.</summary>
    public bool IsParked => Volatile.Read(ref _parked) == 1;

    /// <summary>Watches something more. For while the transport is made.</summary>
    public void Add(IWatched watched) => _watched = [.. _watched, watched];

    /// <summary>There is something to look at. After a full fence that follows it.</summary>
    public void Unpark()
    {
        if (Volatile.Read(ref _parked) == 1 && Interlocked.Exchange(ref _parked, 0) == 1)
        {
            if (_isStarted)
            {
                _unpark.Set();
            }
            else
            {
                Start();
            }
        }
    }

    /// <summary>Ends the thread, after a last look at everything.</summary>
    public void Dispose()
    {
        _disposed = true;
        _unpark.Set();
    }

    private void Start()
    {
        try
        {
            _isStarted = true;
            Uninterrupted.Start(new Thread(Run) { IsBackground = true, Name = "epoll watch" });
        }
        catch (Exception exception) when (exception is OutOfMemoryException or ThreadStartException)
        {
            // The system has no thread for us at the moment: neither a loop nor a flush is to fail for it. The next one tries again.
            _isStarted = false;
            Volatile.Write(ref _parked, 1);
        }
    }

    private void Run()
    {
        int quietLooks = 0;
        TakeElapsed();
        while (!_disposed)
        {
            Sleep();
            quietLooks = IsQuiet() ? quietLooks + 1 : 0;
            Look(TakeElapsed());
            if (quietLooks >= LooksBeforeParking)
            {
                quietLooks = 0;
                Park();
                _lookedAt = Stopwatch.GetTimestamp();
            }
        }

        Look(TimeSpan.Zero);
    }

    private static void Sleep()
    {
        try
        {
            Thread.Sleep(LookEveryMs);
        }
        catch (ThreadInterruptedException)
        {
            // A memory pool or a logger of the application interrupted its thread, and had left it when that struck.
        }
    }

    // Since the look before; zero: it proves nothing.
    private TimeSpan TakeElapsed()
    {
        long now = Stopwatch.GetTimestamp();
        TimeSpan pauses = GC.GetTotalPauseDuration();
        TimeSpan elapsed = Stopwatch.GetElapsedTime(_lookedAt, now);
        bool proves = elapsed <= s_late && pauses == _pauses;
        _lookedAt = now;
        _pauses = pauses;
        return proves ? elapsed : TimeSpan.Zero;
    }

    private bool IsQuiet() => Array.TrueForAll(_watched, static watched => watched.IsQuiet);

    private void Look(TimeSpan elapsed)
    {
        foreach (IWatched watched in _watched)
        {
            try
            {
                watched.Look(elapsed);
            }
#pragma warning disable CA1031 // Everybody depends on this thread.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                LoopLog.WatchFaulted(logger, exception);
            }
        }
    }

    private void Park()
    {
        Interlocked.Exchange(ref _parked, 1);
        if (IsQuiet() && !_disposed)
        {
            Uninterrupted.Wait(_unpark, Timeout.InfiniteTimeSpan, static (unpark, _) => unpark.WaitOne());
        }

        // Whoever took the flag has set, or will set, the signal: that makes one later park return at once, and no more.
        Volatile.Write(ref _parked, 0);
    }
}
