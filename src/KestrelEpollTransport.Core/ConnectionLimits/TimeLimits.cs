using KestrelEpollTransport.Locking;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace KestrelEpollTransport.ConnectionLimits;

/// <summary>
/// The connections of one end point whose age or idle time is limited. One timer looks at all of them, so that none has one of its own.
/// Thread-safe.
/// </summary>
internal sealed class TimeLimits
{
    private const int LooksPerTime = 40;

    /// <summary>By how much longer a connection lives that is old and says nothing.</summary>
    private const double WithoutRequest = 1.05;

    private readonly Lock _lock = new();
    private readonly HashSet<TimedConnection> _connections = [];
    private readonly TimeProvider _time;
    private readonly LimitReports _reports;
    private readonly double _ageMs;
    private readonly long _idleMs;
    private readonly double _jitter;
    private readonly long _graceMs;
    private readonly ITimer _timer;
    private readonly TimeSpan _lookEvery;

    public TimeLimits(ConnectionLimitsOptions options, TimeProvider time, LimitReports reports)
    {
        _time = time;
        _reports = reports;
        _ageMs = options.MaxConnectionAge?.TotalMilliseconds ?? double.PositiveInfinity;
        _jitter = options.MaxConnectionAgeJitter;
        _idleMs = (long?)options.IdleTimeout?.TotalMilliseconds ?? long.MaxValue;
        _graceMs = (long?)options.CloseGrace?.TotalMilliseconds ?? long.MaxValue;
        _lookEvery = TimeSpan.FromMilliseconds(Math.Clamp(Math.Min(_ageMs, _idleMs) / LooksPerTime, 2, 1_000));

        using AsyncFlowControl _ = ExecutionContext.SuppressFlow();
        _timer = time.CreateTimer(static limits => ((TimeLimits)limits!).Look(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    private long NowMs => _time.GetTimestamp() / (_time.TimestampFrequency / 1000);

    public TimedConnection Add(ConnectionContext connection)
    {
        long nowMs = NowMs;
        double ageMs = _ageMs * (1 + (_jitter * ((2 * Random.Shared.NextDouble()) - 1)));
        TimedConnection timed = new(this, connection, nowMs, After(nowMs, ageMs), After(nowMs, ageMs * WithoutRequest));
        using (_lock.Hold())
        {
            _connections.Add(timed);
            if (_connections.Count == 1)
            {
                _timer.Change(_lookEvery, _lookEvery);
            }
        }

        return timed;
    }

    public void Remove(TimedConnection timed)
    {
        using (_lock.Hold())
        {
            _connections.Remove(timed);
            if (_connections.Count == 0)
            {
                _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            }
        }
    }

    /// <summary>Aborts a connection, or asks it to end, if nobody has. What the application registered for that runs here.</summary>
    public void End(TimedConnection timed, TimedAction action)
    {
        ConnectionContext connection = timed.Connection;
        try
        {
            if (action == TimedAction.Abort)
            {
                connection.Abort(new ConnectionAbortedException("The connection went on for longer than CloseGrace after it was asked to end."));
            }
            else if (timed.TryAsk(NowMs))
            {
                _reports.Ended(connection.ConnectionId, isAge: action == TimedAction.AskForAge);
                connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
            }
        }
#pragma warning disable CA1031 // The application's; it would end a thread of the pool, and so the process, or a read that has nothing to do with it.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _reports.Failed(connection.ConnectionId, exception);
        }
    }

    private static long After(long nowMs, double ageMs) => double.IsInfinity(ageMs) ? long.MaxValue : nowMs + (long)ageMs;

    // Application code runs outside of the lock, and on the pool: it may take its time, or remove.
    private void Look()
    {
        long nowMs = NowMs;
        using (_lock.Hold())
        {
            foreach (TimedConnection timed in _connections)
            {
                TimedAction action = timed.Look(nowMs, _idleMs, _graceMs);
                if (action != TimedAction.None)
                {
                    ThreadPool.UnsafeQueueUserWorkItem(static due => due.Limits.End(due.Timed, due.Action), (Limits: this, Timed: timed, Action: action), preferLocal: false);
                }
            }
        }
    }
}
