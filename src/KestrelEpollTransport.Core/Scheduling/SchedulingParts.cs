using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Scheduling;

/// <summary>What a transport's scheduling consists of: the loops and their threads, the scheduler, the watch. Thread-safe.</summary>
internal sealed class SchedulingParts : IDisposable
{
    private readonly MachineLoad? _machine;
    private readonly TimeSpan _demotionLimit;

    public SchedulingParts(EpollTransportOptions options, ILogger logger, Func<Poller>? createPoller = null)
    {
        Watch = new WatchThread(logger);
        _demotionLimit = options.DemotionLimit;
        bool isInline = options.Scheduling == ApplicationScheduling.UnsafeInline;
        LoopSettings settings = new() { Spin = options.SpinBeforeWait, CreatePoller = createPoller ?? Poller.Create };
        if (options.Scheduling == ApplicationScheduling.Adaptive)
        {
            Counters = new SchedulingCounters(options.LoopCount);
            Workers = new Workers(options.MaxWorkers, options.LoopCount) { CallWatch = Watch.Unpark, Counters = Counters, Logger = logger };
            Watch.Add(Workers.OffLoop);
            _machine = MachineLoad.Open();
            settings = settings with { Drivers = options.DriversPerLoop, CallAfter = options.CallAfter, OnAwake = Watch.Unpark, Machine = _machine };
            Scheduler = new AdaptiveScheduler(Workers, Counters);
        }
        else
        {
            // What runs on the thread pool wants the processors.
            settings = settings with { Spin = options.SpinBeforeWait ?? (isInline ? null : TimeSpan.Zero) };
            Scheduler = isInline ? new InlineScheduler() : new ThreadPoolScheduler();
        }

        Loops = new LoopGroup(options.LoopCount, Workers is null ? EventLoop.DriveOnThread : Workers.Drive, logger, settings);
        if (Workers is not null)
        {
            Watch.Add(new LoopWatch(Loops, Workers, Counters!, logger, options.HandOffLimit));
        }
    }

    public LoopGroup Loops { get; }

    public ConnectionScheduler Scheduler { get; }

    /// <summary>Sees what others are too busy to see.</summary>
    public WatchThread Watch { get; }

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
        Watch.Dispose();
        Workers?.Dispose();
        _machine?.Dispose();
    }
}
