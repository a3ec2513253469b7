using System.Diagnostics;
using KestrelEpollTransport.Locking;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Loops;

/// <summary>The loops of one transport: started together at first use, shared by all its listeners. Thread-safe.</summary>
internal sealed class LoopGroup(int count, Action<Seat> drive, ILogger logger, LoopSettings? settings = null) : IDisposable
{
    private readonly Lock _lock = new();
    private EventLoop[]? _loops;
    private volatile bool _disposed;
    private uint _next;

    /// <summary>How long disposal waits for loops that application code holds, all together. Settable for tests.</summary>
    public TimeSpan EndTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The loops, started when they are first asked for.</summary>
    /// <exception cref="ObjectDisposedException">The group was disposed.</exception>
    /// <exception cref="PlatformNotSupportedException">The machine has no poller.</exception>
    public EventLoop[] Loops
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return Volatile.Read(ref _loops) ?? Start();
        }
    }

    /// <summary>The loops that were started, for looking only.</summary>
    public EventLoop[] Started => Volatile.Read(ref _loops) ?? [];

    /// <summary>How many connections live on all of them. A hint, like <see cref="EventLoop.Load"/>.</summary>
    public int Load => Started.Sum(static loop => loop.Load);

    /// <summary>A loop for a connection that comes from no loop: of two in turn, the one with fewer.</summary>
    public EventLoop Next()
    {
        EventLoop[] loops = Loops;
        EventLoop first = Sample(loops);
        EventLoop second = Sample(loops);
        return second.Load < first.Load ? second : first;
    }

    /// <summary>
    /// The loops that may register one listening descriptor, best first: each listener begins with another one, in turn. All are to, or the
    /// first that can, from which <see cref="Balance"/> distributes: <see cref="Polling.Poller.SharesListeners"/>.
    /// </summary>
    public EventLoop[] ForListener()
    {
        EventLoop[] loops = Loops;
        int first = Sample(loops).Index;
        return [.. loops[first..], .. loops[..first]];
    }

    /// <summary>A started loop that has not ended; null if there is none.</summary>
    public EventLoop? FindLiving() => Started is { Length: > 0 } loops && Sample(loops) is { IsRefusing: false } loop ? loop : null;

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

        EventLoop[] loops = Started;
        Array.ForEach(loops, static loop => loop.EndHandlers());
        Array.ForEach(loops, static loop => loop.Stop());
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
    private EventLoop Sample(EventLoop[] loops)
    {
        int first = (int)(Interlocked.Increment(ref _next) % (uint)loops.Length);
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
            if (_loops is null)
            {
                Volatile.Write(ref _loops, CreateDriven());
            }

            return _loops!;
        }
    }

    private EventLoop[] CreateDriven()
    {
        LoopSettings each = settings ?? new LoopSettings();
        if (count > Environment.ProcessorCount || (each.Spin is null && Environment.ProcessorCount == 1))
        {
            // Who polls without a processor of its own keeps another loop, or the client, from working.
            each = each with { Spin = TimeSpan.Zero };
        }

        List<EventLoop> loops = new(count);
        int driven = 0;
        try
        {
            for (int i = 0; i < count; i++)
            {
                loops.Add(new EventLoop(i, each.CreatePoller(), logger, drive, each));
            }

            for (; driven < count; driven++)
            {
                drive(loops[driven].Seats[0]);
            }

            return [.. loops];
        }
        catch
        {
            // No poller or no thread for one of them. Those that have a thread end by themselves.
            loops[..driven].ForEach(static loop => loop.Stop());
            loops[driven..].ForEach(static loop => loop.Dispose());
            throw;
        }
    }
}
