using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using KestrelEpollTransport.Scheduling;
using Microsoft.Extensions.Logging.Abstractions;

namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>What a simulated server is made of.</summary>
internal sealed record SimSettings
{
    public int Loops { get; init; } = 1;

    public int Drivers { get; init; } = 2;

    public int Connections { get; init; } = 8;

    public int MaxWorkers { get; init; } = 16;

    public int MaxLong { get; init; } = 1;

    public TimeSpan CallAfter { get; init; } = new EpollTransportOptions().CallAfter;

    /// <summary>How likely it is that the system refuses a thread.</summary>
    public double Refusal { get; init; }

    /// <summary>How much later than every 3 ms the watch looks, at most.</summary>
    public long WatchLatenessNs { get; init; }

    /// <summary>What a poll takes, an event of it, and a dispatch beside what it serves.</summary>
    public long PollNs { get; init; }

    public long EventNs { get; init; }

    public long DispatchNs { get; init; }
}

/// <summary>
/// The transport's scheduling as it is (loops, seats, passes, workers, queue, watch) on a <see cref="SimMachine"/>, and connections whose
/// requests compute or sleep.
/// </summary>
internal sealed class SimServer : IDisposable
{
    private const long WatchNs = 3_000_000;

    private readonly SimMachine _machine;
    private readonly SimSettings _settings;
    private readonly LoopGroup _loops;
    private readonly AdaptiveScheduler _scheduler;
    private readonly List<SimPoller> _pollers = [];
    private readonly IWatched[] _watched;
    private bool _watchEnds;
    private bool _stops;
    private int _mostBusy;

    public SimServer(SimMachine machine, SimSettings settings)
    {
        _machine = machine;
        _settings = settings;
        Workers = new Workers(settings.MaxWorkers, settings.Loops, settings.MaxLong)
        {
            CallWatch = static () => { },
            CreateSignal = () => new SimSignal(machine),
            StartThread = StartThread,
            QueueToPool = work => machine.Start(work.Execute),
        };
        _loops = new LoopGroup(settings.Loops, Drive, NullLogger.Instance, new LoopSettings
        {
            Drivers = settings.Drivers,
            CallAfter = settings.CallAfter,
            Spin = TimeSpan.Zero,
            Machine = new SimLoad(machine),
            Time = machine,
            CreatePoller = CreatePoller,
        })
        {
            EndTimeout = TimeSpan.Zero,
        };
        SchedulingCounters counters = new(settings.Loops);
        _scheduler = new AdaptiveScheduler(Workers, counters);
        _watched = [Workers.OffLoop, new LoopWatch(_loops, Workers, counters, NullLogger.Instance, TimeSpan.FromMilliseconds(2))];
        DispatchHistory history = new(TimeSpan.FromMicroseconds(100), counters);
        Connections = [.. Enumerable.Range(0, settings.Connections).Select(i => new SimConnection(this, Loops[i % settings.Loops], history))];
        machine.Start(Watch);
    }

    public Workers Workers { get; }

    public SimConnection[] Connections { get; }

    /// <summary>How long each request waited, and how long until it was served.</summary>
    public List<(long Waited, long Took)> Served { get; } = [];

    /// <summary>How often a thread was given a seat of a loop.</summary>
    public int Drives { get; private set; }

    /// <summary>Whether what is not served yet may never be.</summary>
    public bool IsStopping => _stops;

    /// <summary>For the test: since when work off the loops has been left alone.</summary>
    public long? QueuedSince { get; set; }

    public ReadOnlySpan<EventLoop> Loops => _loops.Loops;

    public SimMachine Machine => _machine;

    public SimSettings Settings => _settings;

    public AdaptiveScheduler Scheduler => _scheduler;

    public void BecomeReady(SimConnection connection) => _pollers[connection.Loop.Index].BecomeReady(connection.Token);

    /// <summary>Stops the loops; what is left runs on the thread pool.</summary>
    public void Stop()
    {
        _stops = true;
        foreach (EventLoop loop in Loops)
        {
            loop.Stop();
        }
    }

    /// <summary>Whether all loops have ended.</summary>
    public bool HasEnded
    {
        get
        {
            foreach (EventLoop loop in Loops)
            {
                if (!loop.WaitForEnd(TimeSpan.Zero))
                {
                    return false;
                }
            }

            return true;
        }
    }

    /// <summary>For when the loops have ended.</summary>
    public void End()
    {
        _watchEnds = true;
        Workers.Dispose();
    }

    /// <summary>For the test's thread, after <see cref="End"/> or a failure.</summary>
    public void Dispose() => _loops.Dispose();

    /// <summary>For who looks into a failure.</summary>
    public override string ToString() =>
        $"{_settings}, {Workers.Busy} of {Workers.Count} workers busy, queue {(_watched[0].IsQuiet ? "empty" : "not empty")}, loops "
        + string.Join(", ", Loops.ToArray().Select(Describe)) + ", connections "
        + string.Join(", ", Connections.Where(static connection => !connection.IsEmpty).Select(Describe));

    private static string Describe(EventLoop loop) =>
        $"[{(loop.Crew.IsPolled ? "polled" : "not polled")} {string.Join(" ", loop.Seats.ToArray().Select(seat => Describe(loop, seat)))}]";

    private static string Describe(EventLoop loop, Seat seat) =>
        !loop.Crew.Has(seat.Index) ? "free" : seat.CurrentDispatch == 0 ? "taken" : seat.IsRunning == true ? "runs" : "blocked";

    private static string Describe(SimConnection connection) =>
        $"[on {connection.Loop.Index} {(connection.ReadySince is null ? "runs" : "waits")} {(connection.Profile.RunsInline ? "inline" : "off the loop")}{(connection.Profile.IsLong ? " long" : "")}]";

    /// <summary>What has to hold at any moment.</summary>
    public void Check()
    {
        // A loop that stops gives its stuck threads up, however many are busy.
        int most = _stops ? int.MaxValue / 2 : Workers.Bound + _settings.Loops;
        if (Workers.Busy > most || Workers.Busy < 0)
        {
            _machine.Fail($"{Workers.Busy} workers are busy");
        }

        // Those that rest stay for a while.
        _mostBusy = Math.Max(_mostBusy, most);
        if (Workers.Count > _mostBusy + 1 + (_settings.Loops * (_settings.Drivers + 1)))
        {
            _machine.Fail($"there are {Workers.Count} workers");
        }
    }

    private void Drive(Seat seat)
    {
        Drives++;
        Workers.Drive(seat);
    }

    private void StartThread(Worker worker)
    {
        if (_machine.Now > 0 && _machine.Chance(_settings.Refusal))
        {
            throw new InsufficientMemoryException("The simulated system has no thread.");
        }

        _machine.Start(worker.Run);
    }

    private SimPoller CreatePoller()
    {
        _pollers.Add(new SimPoller(_machine, _settings.PollNs, _settings.EventNs));
        return _pollers[^1];
    }

    private void Watch()
    {
        long before = _machine.Now;
        while (!_watchEnds)
        {
            _machine.Sleep(WatchNs + (_settings.WatchLatenessNs > 0 ? _machine.NextExponential(_settings.WatchLatenessNs) : 0));
            long elapsed = _machine.Now - before;
            before = _machine.Now;
            foreach (IWatched watched in _watched)
            {
                watched.Look(elapsed > 2 * WatchNs ? TimeSpan.Zero : TimeSpan.FromMicroseconds(elapsed / 1000.0));
            }
        }
    }
}

/// <summary>Whether a thread of a <see cref="SimMachine"/> waits for a processor.</summary>
internal sealed class SimLoad(SimMachine machine) : MachineLoad(file: null, processors: 0)
{
    public override bool IsCrowded
    {
        get
        {
            machine.Point();
            return machine.Waiting > 0;
        }
    }
}

/// <summary>A request: it computes or sleeps for so long, or waits until another one was served.</summary>
internal sealed record SimRequest(long ArrivedNs, long ServiceNs, bool Sleeps)
{
    public SimRequest? WaitsFor { get; init; }

    public bool IsServed { get; set; }

    public bool Blocks => Sleeps || WaitsFor is not null;
}

/// <summary>A connection, which serves its requests one after the other.</summary>
internal sealed class SimConnection : ILoopHandler, IResumable
{
    private readonly SimServer _server;
    private readonly Queue<SimRequest> _requests = new();
    private DispatchProfile _profile;
    private bool _waits = true;
    private bool _runs;
    private long _ranUntil;

    public SimConnection(SimServer server, EventLoop loop, DispatchHistory history)
    {
        _server = server;
        Loop = loop;
        _profile = new DispatchProfile(history);
        loop.Register(this, descriptor: 0, Interest.Read);
    }

    public EventLoop Loop { get; }

    public Token Token { get; set; }

    public ref DispatchProfile Profile => ref _profile;

    /// <summary>Since when a request has had its turn that nobody has begun; null: there is none.</summary>
    public long? ReadySince => _requests.TryPeek(out SimRequest? next) && !_runs ? Math.Max(next.ArrivedNs, _ranUntil) : null;

    public bool IsEmpty => _requests.Count == 0 && !_runs;

    public void Arrive(SimRequest request)
    {
        _requests.Enqueue(request);
        _server.BecomeReady(this);
    }

    public void OnReady(Readiness readiness)
    {
        if (_waits && _requests.Count > 0)
        {
            _waits = false;
            _server.Scheduler.ResumeFromLoop(this, Loop);
        }
    }

    public void OnLoop() => _server.Scheduler.ResumeFromLoop(this, Loop);

    public void OnHandedOff(bool isBlocked) => _profile.HandedOff(isBlocked);

    public void Execute()
    {
        SimMachine machine = _server.Machine;
        if (SimThread.Current is null)
        {
            // The runtime's pool: a loop that ended has left it.
            return;
        }

        if (_runs || _waits)
        {
            machine.Fail("a connection runs twice");
        }

        _runs = true;
        _profile.Begin();
        SimRequest request = _requests.Dequeue();
        long began = machine.Now;
        machine.Point();
        if (request.Sleeps)
        {
            machine.Sleep(request.ServiceNs);
        }

        while (request.WaitsFor is { IsServed: false } && !_server.IsStopping)
        {
            machine.Sleep(1_000_000);
        }

        machine.Compute(_server.Settings.DispatchNs + (request.Blocks ? 1_000 : request.ServiceNs));
        machine.Point();
        long took = machine.Now - began;
        request.IsServed = true;
        _server.Served.Add((began - request.ArrivedNs, machine.Now - request.ArrivedNs));
        _profile.Note(new DispatchTime(took, Slept: request.Blocks && took > 100_000, request.Blocks ? 1_000 : request.ServiceNs));
        _server.Check();
        _runs = false;
        _ranUntil = machine.Now;
        if (_requests.Count > 0)
        {
            _server.Scheduler.Resume(this, Loop);
        }
        else
        {
            _waits = true;
        }
    }

    public void OnFault(Exception exception) => _server.Machine.Fail(exception.ToString());

    public void Abandon()
    {
    }
}
