using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Sees that a loop has been in one and the same dispatch for too long, and has it handed to another worker. For the watch's
/// thread, but for <see cref="IWatched.IsQuiet"/>.
/// </summary>
internal sealed class LoopWatch : IWatched
{
    /// <summary>
    /// How many times the limit a dispatch has that computes. The kernel says the same of a thread that waits for a
    /// processor, and another thread would not get one earlier: cheap handlers on a busy machine were handed off 20 times a
    /// second without this.
    /// </summary>
    private const int ComputingFactor = 5;

    /// <summary>
    /// What a look counts that proves nothing by itself. Not zero: where all of them are late, or the garbage collector always
    /// runs, a stuck loop would never be handed over.
    /// </summary>
    private static readonly TimeSpan s_lateLook = WatchThread.Interval / 4;

    private readonly LoopGroup _group;
    private readonly Workers _workers;
    private readonly SchedulingCounters _counters;
    private readonly WorkerAlarm _alarm;
    private readonly ILogger _logger;
    private readonly TimeSpan _limit;
    private Sighting[] _sightings = [];

    /// <param name="group">Whose loops.</param>
    /// <param name="workers">Who takes over.</param>
    /// <param name="counters">Counts what was done.</param>
    /// <param name="alarm">Told that nobody could take over.</param>
    /// <param name="logger">Told of each hand-over.</param>
    /// <param name="limit">How long a dispatch may take.</param>
    public LoopWatch(LoopGroup group, Workers workers, SchedulingCounters counters, WorkerAlarm alarm, ILogger logger, TimeSpan limit)
    {
        _group = group;
        _workers = workers;
        _counters = counters;
        _alarm = alarm;
        _logger = logger;
        _limit = limit;
    }

    bool IWatched.IsQuiet
    {
        get
        {
            foreach (EventLoop loop in _group.Started)
            {
                if (loop.IsAwake && !loop.HasEnded)
                {
                    return false;
                }
            }

            return true;
        }
    }

    void IWatched.Look(TimeSpan elapsed)
    {
        ReadOnlySpan<EventLoop> loops = _group.Started;
        if (_sightings.Length != loops.Length)
        {
            _sightings = new Sighting[loops.Length];
        }

        for (int i = 0; i < loops.Length; i++)
        {
            LookAt(loops[i], ref _sightings[i], elapsed);
        }
    }

    private void LookAt(EventLoop loop, ref Sighting sighting, TimeSpan elapsed)
    {
        long dispatch = loop.CurrentDispatch;
        if (dispatch == 0 || dispatch != sighting.Dispatch)
        {
            sighting = new Sighting(dispatch, TimeSpan.Zero);
            return;
        }

        sighting = sighting with { Blocked = sighting.Blocked + (elapsed > TimeSpan.Zero ? elapsed : s_lateLook) };
        if (sighting.Blocked < _limit)
        {
            return;
        }

        bool isBlocked = !loop.IsDriverRunnable;
        if (isBlocked || sighting.Blocked >= _limit * ComputingFactor)
        {
            HandOffNow(loop, sighting, isBlocked);
        }
    }

    private void HandOffNow(EventLoop loop, Sighting sighting, bool isBlocked)
    {
        switch (_workers.TryHandOff(loop, sighting.Dispatch, out IDispatched? dispatched))
        {
            case HandOff.Done:
                _counters.HandedOff();
                dispatched!.OnHandedOff(isBlocked);
                _workers.OffLoop.Enqueue(new Report(_logger, dispatched, loop.Index, sighting.Blocked), isQuick: true);
                break;
            case HandOff.NoWorker:
                // The next look tries again.
                _alarm.WorkersRanOut();
                break;
        }
    }

    /// <summary>A dispatch, and how long it has been seen for.</summary>
    private readonly record struct Sighting(long Dispatch, TimeSpan Blocked);

    /// <summary>Logs a hand-over. A worker's, because loggers may block.</summary>
    private sealed class Report(ILogger logger, IDispatched dispatched, int loop, TimeSpan blocked) : IThreadPoolWorkItem
    {
        public void Execute()
        {
            if (!dispatched.TryLogHandOff(loop, blocked))
            {
                SchedulingLog.HandedOff(logger, loop, blocked.TotalMilliseconds);
            }
        }
    }
}
