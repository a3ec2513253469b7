namespace KestrelEpollTransport.FunctionalTests.ConnectionLimits;

/// <summary>A clock that a test moves, and whose timers run then. Thread-safe.</summary>
internal sealed class ManualTime : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private TimeSpan _now;

    /// <summary>How many timers run.</summary>
    public int Running
    {
        get
        {
            lock (_lock)
            {
                return _timers.Count(static timer => timer.IsRunning);
            }
        }
    }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp()
    {
        lock (_lock)
        {
            return _now.Ticks;
        }
    }

    /// <summary>Each timer that runs now runs once.</summary>
    public void Advance(TimeSpan by) => Advance(by, static (_, _) => true);

    /// <summary>Each timer that is due by then runs once.</summary>
    public void AdvanceDue(TimeSpan by) => Advance(by, static (timer, now) => timer.Due <= now);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, () => callback(state));
        timer.Change(dueTime, period);
        lock (_lock)
        {
            _timers.Add(timer);
        }

        return timer;
    }

    private void Advance(TimeSpan by, Func<ManualTimer, TimeSpan, bool> runs)
    {
        ManualTimer[] running;
        lock (_lock)
        {
            _now += by;
            running = [.. _timers.Where(timer => timer.IsRunning && runs(timer, _now))];
        }

        Array.ForEach(running, static timer => timer.Run());
    }

    private sealed class ManualTimer(ManualTime time, Action run) : ITimer
    {
        public bool IsRunning { get; private set; }

        public TimeSpan Due { get; private set; }

        public void Run() => run();

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Due = TimeSpan.FromTicks(time.GetTimestamp()) + dueTime;
            IsRunning = dueTime != Timeout.InfiniteTimeSpan;
            return true;
        }

        public void Dispose() => IsRunning = false;

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }
    }
}
