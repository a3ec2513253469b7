using System.Diagnostics.CodeAnalysis;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// The threads of adaptive scheduling: they drive the loops, take seats over from workers that are stuck, and run what is known to
/// block. Kept while there is use for them, the one that rested last first; started when none rests; bounded.
/// Thread-safe.
/// </summary>
/// <remarks>
/// <i>Busy</i> is a worker that runs work off the loops, or is stuck in a dispatch that cost it its seat. Such work gets workers while fewer
/// than the bound are busy; beyond, see <see cref="WorkQueue"/>. A hand-off may go on for one worker more per loop, and dispatches
/// are inline only while all of that reserve is there (<see cref="HasReserve"/>): when one stuck dispatch eats into it, every other loop,
/// which may be in a dispatch at that moment, still has its worker. A logger or a memory pool that waits for other requests may block them
/// all: dispatches enter those at any time, and each of the loops may lose a worker to one more than once.
/// </remarks>
internal sealed class Workers : IDisposable
{
    public const string ThreadName = "epoll worker";

    private static readonly TimeSpan s_joinTimeout = TimeSpan.FromSeconds(5);

    /// <summary>The most workers that are busy, whatever they wait for: the thread pool's own limit.</summary>
    public const int Limit = 32_767;

    private const int WarnEveryMs = 60_000;

    private readonly int _maxBusy;
    private readonly int _reserve;
    private readonly Lock _lock = new();

    // Under the lock.
    private readonly List<Worker> _resting = [];
    private bool _callMissed;
    private volatile bool _disposed;

    private long _warnAtMs = long.MinValue;

    // Written under the lock.
    private volatile int _busy;
    private volatile int _bound;

    private int _count;

    /// <param name="maxBusy">See the remarks.</param>
    /// <param name="loopCount">How many loops may have to be handed off.</param>
    /// <param name="maxLong">How many may run long work; null: a processor is left for what is short.</param>
    public Workers(int maxBusy, int loopCount, int? maxLong = null)
    {
        _maxBusy = _bound = maxBusy;
        _reserve = loopCount;
        OffLoop = new WorkQueue(this, maxLong ?? Math.Max(1, Environment.ProcessorCount - 1));
    }

    /// <summary>How long a worker without work is kept. Settable for tests.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Starts a worker's thread. Settable for tests of a system that has none left.</summary>
    public Action<Worker> StartThread { get; init; } = static worker => worker.Start();

    /// <summary>Gives work to the thread pool. Settable for tests that simulate threads, as is <see cref="CreateSignal"/>.</summary>
    public Action<IThreadPoolWorkItem> QueueToPool { get; init; } = Uninterrupted.QueueToPool;

    /// <summary>Creates what a worker waits for.</summary>
    public Func<WorkerSignal> CreateSignal { get; init; } = static () => new WorkerSignal();

    /// <summary>Has the watch look at <see cref="OffLoop"/>, after a full fence.</summary>
    public Action CallWatch { get; init; } = static () => { };

    /// <summary>Counts what runs off the loops; null: nobody wants to know.</summary>
    public SchedulingCounters? Counters { get; init; }

    /// <summary>Told, on the thread pool, that workers have run out: once, and again when it lasts. Loggers may block, and whoever finds out may not.</summary>
    public ILogger? Logger { get; init; }

    /// <summary>For what is known to block, or to compute for long.</summary>
    public WorkQueue OffLoop { get; }

    /// <summary>Whether every loop could be handed off at this moment.</summary>
    public bool HasReserve => _busy <= _bound;

    /// <summary>Whether work off the loops finds no worker any more.</summary>
    public bool IsExhausted => _busy >= _bound;

    /// <summary>How many are busy; see the remarks.</summary>
    public int Busy => _busy;

    /// <summary>How many may be: more than asked for, where all were stuck.</summary>
    public int Bound => _bound;

    /// <summary>How many threads there are, those that drive loops included.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Somebody wanted a worker, and there was none.</summary>
    public void NoteExhausted()
    {
        long warnAtMs = Volatile.Read(ref _warnAtMs);
        long nowMs = Environment.TickCount64;
        if (Logger is not null && nowMs >= warnAtMs && Interlocked.CompareExchange(ref _warnAtMs, nowMs + WarnEveryMs, warnAtMs) == warnAtMs)
        {
            Uninterrupted.QueueToPool(new LogElsewhere(() => SchedulingLog.WorkersRanOut(Logger, _maxBusy)));
        }
    }

    /// <summary>Gives a worker a seat of a loop.</summary>
    /// <exception cref="OutOfMemoryException">No thread could be started.</exception>
    public void Drive(Seat seat)
    {
        Worker? worker;
        using (_lock.Hold())
        {
            worker = TryPopResting();
        }

        (worker ?? Start()).Give(seat);
    }

    /// <summary>
    /// Calls a worker to drain <see cref="OffLoop"/>; false if all that are allowed are busy, or the system has no thread. Nobody else may be
    /// called for long: the next worker that is done answers.
    /// </summary>
    /// <param name="isOneMore">
    /// Nobody who is busy has come back for long, and all of them may wait for what nobody has taken: one more may be busy. The bound comes
    /// down again with those who rest, and by <see cref="TryLowerBound"/>.
    /// </param>
    public bool TryCall(bool isOneMore = false)
    {
        bool reserved = TryReserve(more: 0, raisesBound: isOneMore, out Worker? worker);
        worker?.Wake();
        return reserved;
    }

    /// <summary>The caller, who is busy, goes home if there are more than asked for. False: there are not.</summary>
    public bool TryLowerBound()
    {
        if (_bound == _maxBusy)
        {
            return false;
        }

        using (_lock.Hold())
        {
            bool lowers = _bound > _maxBusy;
            _bound -= lowers ? 1 : 0;
            return lowers;
        }
    }

    /// <summary>
    /// Gives a seat to another worker while <paramref name="dispatch"/> still runs on the present one. Returns what that is stuck in; null:
    /// the dispatch has returned, or there is no worker.
    /// </summary>
    /// <remarks>
    /// The reserve is for the last: for a loop that nobody else drives, who would not be stuck. From a loop that stops the next one leaves
    /// at once, so there it matters to nobody how many are stuck.
    /// </remarks>
    public IDispatched? TryHandOff(Seat seat, long dispatch, bool isLast)
    {
        // The next worker first: a seat that was taken has to be driven from. With the take, the present one becomes busy.
        int more = seat.Loop.Crew.IsStopping ? Limit : isLast ? _reserve : 0;
        if (!TryReserve(more, raisesBound: false, out Worker? next))
        {
            if (seat.Loop.Crew.IsStopping)
            {
                // The system has no thread to end it, and who is stuck may wait for what is posted there.
                seat.Loop.GiveUp();
            }
            else if (!_disposed)
            {
                NoteExhausted();
            }

            return null;
        }

        if (seat.TryTake(dispatch, out IDispatched? dispatched))
        {
            next.Give(seat);
        }
        else if (!TryRest(next, wasBusy: true))
        {
            next.End();
        }

        return dispatched;
    }

    /// <summary>A worker has nothing to do any more. False: it is to end.</summary>
    /// <param name="worker">The worker.</param>
    /// <param name="wasBusy">Whether it counts as busy.</param>
    public bool TryRest(Worker worker, bool wasBusy)
    {
        using (_lock.Hold())
        {
            if (_callMissed && !_disposed && (wasBusy ? HasReserve : !IsExhausted))
            {
                // Busy with the call that found nobody. Unless it is one too many.
                _busy += wasBusy ? 0 : 1;
                _callMissed = false;
                worker.Wake();
                return true;
            }

            if (wasBusy)
            {
                _busy--;

                // One place stays for what comes next, as long as the others are stuck.
                _bound -= _bound > _maxBusy && _busy < _bound - 1 ? 1 : 0;
            }

            if (_disposed)
            {
                Interlocked.Decrement(ref _count);
                return false;
            }

            _resting.Add(worker);
            return true;
        }
    }

    /// <summary>Lets a worker that rests end; false if it was taken meanwhile, and will be given something.</summary>
    public bool TryRetire(Worker worker)
    {
        using (_lock.Hold())
        {
            if (!_resting.Remove(worker))
            {
                return false;
            }
        }

        Interlocked.Decrement(ref _count);
        return true;
    }

    /// <summary>
    /// For when the loops have ended: ends the workers, and waits a while for those that application code does not hold.
    /// </summary>
    public void Dispose()
    {
        Worker[] resting;
        using (_lock.Hold())
        {
            _disposed = true;
            resting = [.. _resting];
            _resting.Clear();
        }

        Interlocked.Add(ref _count, -resting.Length);
        OffLoop.GiveUp();
        Array.ForEach(resting, static worker => worker.End());
        Array.ForEach(resting, static worker => worker.Join(s_joinTimeout));
    }

    // True: a worker that is the caller's, and counts as busy. It may be one of so many more than the bound, which is raised for it.
    private bool TryReserve(int more, bool raisesBound, [NotNullWhen(true)] out Worker? worker)
    {
        worker = null;
        int raised;
        using (_lock.Hold())
        {
            raised = raisesBound ? Math.Max(Math.Min(Math.Max(_bound, _busy) + 1, Limit) - _bound, 0) : 0;
            _bound += raised;
            if (_disposed || _busy >= _bound + more)
            {
                _callMissed = true;
                return false;
            }

            _busy++;
            worker = TryPopResting();
        }

        try
        {
            worker ??= Start();
            return true;
        }
        catch (Exception exception) when (exception is OutOfMemoryException or ThreadStartException)
        {
            // The system has no more threads for us: as if the bound were here, unless one came to rest meanwhile.
            using (_lock.Hold())
            {
                worker = TryPopResting();
                if (worker is null)
                {
                    _busy--;
                    _bound -= raised;
                    _callMissed = true;
                }
            }

            return worker is not null;
        }
    }

    // Under the lock.
    private Worker? TryPopResting()
    {
        if (_resting.Count == 0)
        {
            return null;
        }

        Worker worker = _resting[^1];
        _resting.RemoveAt(_resting.Count - 1);
        return worker;
    }

    // Outside of the lock: it returns when the thread runs.
    private Worker Start()
    {
        Worker worker = new(this);
        Interlocked.Increment(ref _count);
        try
        {
            StartThread(worker);
            return worker;
        }
        catch
        {
            Interlocked.Decrement(ref _count);
            throw;
        }
    }
}
