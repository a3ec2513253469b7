using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// Looks at what TCP knows of each connection, once in an interval and when it closes, and tells the instruments. Thread-safe; one a transport.
/// </summary>
/// <remarks>
/// <para>A connection is in one of many slots, chosen at random, and each turn of one timer takes the next slot: the looks are spread over the
/// interval, the first one of a connection comes within it, and a connection that ends leaves its list at once. A timer for each would keep
/// every connection, however short, for the interval.</para>
/// <para>Who listens to instruments is the application's code. It runs in a turn, on the thread pool, and never in the middle of a connection's
/// end: what that tells is queued until the next turn.</para>
/// </remarks>
internal sealed class TcpSampling : IDisposable
{
    private static readonly TimeSpan s_minTurn = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan s_maxTurn = TimeSpan.FromSeconds(1);

    private readonly TcpMetrics _metrics;
    private readonly LateTimer _timer;
    private readonly Lock _lock = new();
    private readonly LinkedList<SampledConnection>[] _slots;
    private readonly UninterruptedQueue<TcpSample> _told = new();
    private int _next;
    private int _telling;

    /// <param name="metrics">What is told.</param>
    /// <param name="interval">How often each connection is looked at.</param>
    public TcpSampling(TcpMetrics metrics, TimeSpan interval)
    {
        _metrics = metrics;
        TimeSpan turn = interval / 64;
        turn = turn < s_minTurn ? s_minTurn : turn > s_maxTurn ? s_maxTurn : turn;
        int slots = (int)Math.Ceiling(interval / turn);
        _timer = new LateTimer(RunTurn, interval / slots);
        _slots = new LinkedList<SampledConnection>[slots];
        for (int i = 0; i < slots; i++)
        {
            _slots[i] = [];
        }
    }

    /// <summary>How many connections are looked at. For tests.</summary>
    public int Count
    {
        get
        {
            using (_lock.Hold())
            {
                return _slots.Sum(static slot => slot.Count);
            }
        }
    }

    /// <summary>Begins to look at a connection, until <see cref="Remove"/>.</summary>
    public SampledConnection Add(EpollConnection connection, string target)
    {
#pragma warning disable CA5394 // When to look is no secret.
        SampledConnection sampled = new(connection, target, Random.Shared.Next(_slots.Length));
#pragma warning restore CA5394
        using (_lock.Hold())
        {
            sampled.Node = _slots[sampled.Slot].AddLast(sampled);
        }

        _timer.Start();
        return sampled;
    }

    /// <summary>The last look at a connection, before its descriptor is reset or closed. Only the first call tells anything.</summary>
    public void TakeLast(SampledConnection sampled, int descriptor)
    {
        if (_metrics.IsEnabled && !SystemCalls.GetTcpInfo(descriptor, out TcpInfoRecord record).IsError)
        {
            Take(sampled, record, isLast: true);
        }
    }

    /// <summary>The connection is closed.</summary>
    public void Remove(SampledConnection sampled)
    {
        using (_lock.Hold())
        {
            if (sampled.Node is { } node)
            {
                sampled.Node = null;
                _slots[sampled.Slot].Remove(node);
            }
        }
    }

    /// <summary>Tells what is left. When no connection is.</summary>
    public void Dispose()
    {
        _timer.Dispose();
        Tell();
    }

    private void RunTurn()
    {
        // A turn that takes longer than the timer's period is not joined by the next one.
        if (Interlocked.Exchange(ref _telling, 1) != 0)
        {
            return;
        }

        try
        {
            if (_metrics.IsEnabled)
            {
                foreach (SampledConnection sampled in TakeSlot())
                {
                    if (sampled.Connection.TryGetTcpInfo(out TcpInfoRecord record))
                    {
                        Take(sampled, record, isLast: false);
                    }
                }
            }

            Tell();
        }
        finally
        {
            Volatile.Write(ref _telling, 0);
        }
    }

    private SampledConnection[] TakeSlot()
    {
        using (_lock.Hold())
        {
            _next = (_next + 1) % _slots.Length;
            return [.. _slots[_next]];
        }
    }

    private void Take(SampledConnection sampled, in TcpInfoRecord record, bool isLast)
    {
        TcpSample? sample;
        using (_lock.Hold())
        {
            sample = sampled.Take(record, isLast);
        }

        if (sample is { } told)
        {
            _told.Enqueue(told);
        }
    }

    private void Tell()
    {
        while (_told.TryDequeue(out TcpSample sample))
        {
            _metrics.Record(sample);
        }
    }
}
