using System.Diagnostics;
using KestrelEpollTransport.Locking;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Loops;

/// <summary>The loops of one transport: started together at first use, shared by all its listeners. Thread-safe.</summary>
internal sealed class LoopGroup : IDisposable
{
    private readonly int _count;
    private readonly ILoopDriver _driver;
    private readonly ILogger _logger;
    private readonly LoopSettings _settings;
    private readonly Lock _lock = new();
    private EventLoop[]? _loops;
    private volatile bool _disposed;
    private uint _next;

    /// <param name="count">How many loops.</param>
    /// <param name="driver">Finds their threads.</param>
    /// <param name="logger">For broken invariants.</param>
    /// <param name="settings">Of each; null: the defaults.</param>
    public LoopGroup(int count, ILoopDriver driver, ILogger logger, LoopSettings? settings = null)
    {
        _count = count;
        _driver = driver;
        _logger = logger;
        settings ??= new LoopSettings();

        // Who polls without a processor of its own keeps another loop, or the client, from working.
        bool hasProcessor = count <= Environment.ProcessorCount && (settings.Spin is not null || Environment.ProcessorCount > 1);
        _settings = hasProcessor ? settings : settings with { Spin = TimeSpan.Zero };
    }

    /// <summary>How long disposal waits for loops that application code holds, all together. Settable for tests.</summary>
    public TimeSpan EndTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The loops, started when they are first asked for.</summary>
    /// <exception cref="ObjectDisposedException">The group was disposed.</exception>
    /// <exception cref="PlatformNotSupportedException">The machine has no poller.</exception>
    public ReadOnlySpan<EventLoop> Loops
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return Volatile.Read(ref _loops) ?? Start();
        }
    }

    /// <summary>The loops that were started, for looking only.</summary>
    public ReadOnlySpan<EventLoop> Started => Volatile.Read(ref _loops);

    /// <summary>How many connections live on all of them. A hint, like <see cref="EventLoop.Load"/>.</summary>
    public int Load
    {
        get
        {
            int load = 0;
            foreach (EventLoop loop in Started)
            {
                load += loop.Load;
            }

            return load;
        }
    }

    /// <summary>A loop for a connection that comes from no loop: of two in turn, the one with fewer.</summary>
    public EventLoop Next()
    {
        ReadOnlySpan<EventLoop> loops = Loops;
        EventLoop first = Sample(loops);
        EventLoop second = Sample(loops);
        return second.Load < first.Load ? second : first;
    }

    /// <summary>
    /// The loops that may register one listening descriptor, best first: each listener begins with another one, in turn. Where a
    /// connection wakes few loops all are to register it, and else the first that can, from which <see cref="Balance"/> distributes.
    /// See <see cref="Polling.Poller.SharesListeners"/>.
    /// </summary>
    public EventLoop[] ForListener()
    {
        ReadOnlySpan<EventLoop> loops = Loops;
        int first = Sample(loops).Index;
        return [.. loops[first..], .. loops[..first]];
    }

    /// <summary>A started loop that has not ended; null if there is none.</summary>
    public EventLoop? FindLiving()
    {
        ReadOnlySpan<EventLoop> loops = Started;
        return loops.IsEmpty || Sample(loops) is not { IsRefusing: false } loop ? null : loop;
    }

    /// <summary>
    /// The loop for a connection that <paramref name="accepting"/> took: that loop, unless another one, sampled in
    /// turn, has clearly fewer. Left alone, the kernel wakes the same loop first and it would get them all.
    /// </summary>
    public EventLoop Balance(EventLoop accepting)
    {
        EventLoop other = Sample(Started);
        int load = accepting.Load;
        return accepting.IsRefusing || other.Load + Math.Max(1, load / 8) < load ? other : accepting;
    }

    /// <summary>
    /// Ends everything that lives on the loops, stops them, and waits a while for their ends; the thread pool runs what a loop that
    /// did not end leaves.
    /// </summary>
    public void Dispose()
    {
        using (_lock.Hold())
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
        }

        ReadOnlySpan<EventLoop> loops = Started;
        foreach (EventLoop loop in loops)
        {
            foreach (ILoopHandler handler in loop.RefuseFurtherHandlers())
            {
                loop.Abandon(handler);
            }
        }

        foreach (EventLoop loop in loops)
        {
            loop.Stop();
        }

        long began = Stopwatch.GetTimestamp();
        foreach (EventLoop loop in loops)
        {
            // One that application code holds ends, and closes its poller, when that code returns.
            TimeSpan left = EndTimeout - Stopwatch.GetElapsedTime(began);
            if (!loop.WaitForEnd(left > TimeSpan.Zero ? left : TimeSpan.Zero))
            {
                loop.GiveUp();
            }
        }
    }

    // In turn. One that has ended has no load, and would be given everything: it comes only where there is no other.
    private EventLoop Sample(ReadOnlySpan<EventLoop> loops)
    {
        uint turn = Interlocked.Increment(ref _next);
        int first = (int)(turn % (uint)loops.Length);
        for (int i = first; i < first + loops.Length; i++)
        {
            EventLoop loop = loops[i % loops.Length];
            if (!loop.IsRefusing)
            {
                return loop;
            }
        }

        return loops[first];
    }

    private EventLoop[] Start()
    {
        using (_lock.Hold())
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_loops is not null)
            {
                return _loops;
            }

            EventLoop[] loops = CreateLoops();
            DriveAll(loops);

            Volatile.Write(ref _loops, loops);
            return loops;
        }
    }

    private void DriveAll(EventLoop[] loops)
    {
        int driven = 0;
        try
        {
            for (; driven < loops.Length; driven++)
            {
                _driver.Drive(loops[driven].Seats[0]);
            }
        }
        catch
        {
            // No thread for this one: those that have one end by themselves.
            Array.ForEach(loops[..driven], static loop => loop.Stop());
            Array.ForEach(loops[driven..], static loop => loop.Dispose());
            throw;
        }
    }

    private EventLoop[] CreateLoops()
    {
        List<EventLoop> loops = new(_count);
        try
        {
            for (int i = 0; i < _count; i++)
            {
                loops.Add(new EventLoop(i, _settings.CreatePoller(), _logger, _driver, _settings));
            }

            return [.. loops];
        }
        catch
        {
            loops.ForEach(static loop => loop.Dispose());
            throw;
        }
    }
}
