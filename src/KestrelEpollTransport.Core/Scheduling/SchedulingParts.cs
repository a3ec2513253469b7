using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Scheduling;

/// <summary>What a transport's scheduling consists of: the loops and their threads, the scheduler, the watch. Thread-safe.</summary>
internal sealed class SchedulingParts : IDisposable
{
    private readonly WatchThread _watch;
    private readonly OwnWaitTimer? _ownWaits;
    private readonly MachineLoad? _machine;
    private readonly TimeSpan _demotionLimit;

    public SchedulingParts(EpollTransportOptions options, ILogger logger, Func<Poller>? createPoller = null)
    {
        _watch = new WatchThread(logger);
        _demotionLimit = options.DemotionLimit;
        if (options.Scheduling != ApplicationScheduling.Adaptive)
        {
            Flushes = new FlushWatch(_watch, workers: null, logger);
            _watch.Add(Flushes);
            bool isInline = options.Scheduling == ApplicationScheduling.UnsafeInline;

            // The application runs elsewhere, and wants the processors.
            TimeSpan? spin = options.SpinBeforeWait ?? (isInline ? null : TimeSpan.Zero);
            Loops = new LoopGroup(options.LoopCount, LoopThread.Drive, logger, new LoopSettings { Spin = spin, CreatePoller = createPoller ?? Poller.Create });
            Scheduler = isInline ? new InlineScheduler() : new ThreadPoolScheduler(options.LoopCount);
            _ownWaits = isInline ? new OwnWaitTimer(Loops, logger) : null;
            return;
        }

        Counters = new SchedulingCounters(options.LoopCount);
        Workers = new Workers(options.MaxWorkers, options.LoopCount) { CallWatch = _watch.Unpark, Counters = Counters, Logger = logger };
        _watch.Add(Workers.OffLoop);
        Flushes = new FlushWatch(_watch, Workers, logger);
        _watch.Add(Flushes);
        _machine = MachineLoad.Open();
        Loops = new LoopGroup(options.LoopCount, Workers.Drive, logger, new LoopSettings
        {
            Drivers = options.DriversPerLoop,
            CallAfter = options.CallAfter,
            Spin = options.SpinBeforeWait,
            OnAwake = _watch.Unpark,
            Machine = _machine,
            CreatePoller = createPoller ?? Poller.Create,
        });
        Scheduler = new AdaptiveScheduler(Workers, Counters);
        _watch.Add(new LoopWatch(Loops, Workers, Counters, logger, options.HandOffLimit));
    }

    public LoopGroup Loops { get; }

    public ConnectionScheduler Scheduler { get; }

    public FlushWatch Flushes { get; }

    /// <summary>Null: the scheduling is not adaptive, and counts nothing.</summary>
    public SchedulingCounters? Counters { get; }

    /// <summary>Null: the scheduling is not adaptive, and has no workers.</summary>
    public Workers? Workers { get; }

    /// <summary>For the connections of a new endpoint; null: they need not be measured.</summary>
    public DispatchHistory? CreateHistory() => Counters is null ? null : new DispatchHistory(_demotionLimit, Counters);

    public void Dispose()
    {
        // In this order: what is stuck in a dispatch loses its loop to a worker, which ends it.
        Loops.Dispose();
        _ownWaits?.Dispose();
        _watch.Dispose();
        Workers?.Dispose();
        _machine?.Dispose();
    }
}
