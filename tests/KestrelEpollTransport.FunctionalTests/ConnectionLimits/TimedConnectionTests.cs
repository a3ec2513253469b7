using System.Diagnostics.Metrics;
using KestrelEpollTransport.ConnectionLimits;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace KestrelEpollTransport.FunctionalTests.ConnectionLimits;

/// <summary>When a connection is asked to end, and aborted, on a clock that the test moves.</summary>
public class TimedConnectionTests
{
    private const long Never = long.MaxValue;
    private const long Idle = 1_000;
    private const long Grace = 500;

    [Fact]
    public void Look_AtTheAge_AsksALittleLaterOnceAndAbortsBehindTheGrace()
    {
        TimedConnection timed = Create(oldAtMs: 10_000, oldForGoodAtMs: 10_500);

        Assert.Equal(TimedAction.None, timed.Look(9_999, Never, Grace));
        timed.NoteActivity();
        Assert.Equal(TimedAction.None, timed.Look(10_499, Never, Grace));
        Assert.Equal(TimedAction.AskForAge, timed.Look(10_500, Never, Grace));
        Assert.True(timed.TryAsk(10_500));
        Assert.False(timed.TryAsk(10_600));
        Assert.Equal(TimedAction.None, timed.Look(10_999, Never, Grace));
        Assert.Equal(TimedAction.Abort, timed.Look(11_000, Never, Grace));
        Assert.Equal(TimedAction.None, timed.Look(20_000, Never, Grace));
    }

    [Fact]
    public void Read_BehindTheAge_AsksOnce()
    {
        int asked = 0;
        DefaultConnectionContext connection = new();
        connection.Features.Set<IConnectionLifetimeNotificationFeature>(new Asked(() => asked++));
        TimedConnection timed = Create(oldAtMs: 10_000, oldForGoodAtMs: 10_500, connection);

        timed.NoteRead();
        Assert.Equal(TimedAction.None, timed.Look(9_999, Never, Never));
        timed.NoteRead();
        Assert.Equal(0, asked);
        Assert.Equal(TimedAction.None, timed.Look(10_000, Never, Never));
        timed.NoteActivity();
        Assert.Equal(0, asked);
        timed.NoteRead();
        timed.NoteRead();
        Assert.Equal(1, asked);
        Assert.Equal(TimedAction.None, timed.Look(10_500, Never, Never));
    }

    [Fact]
    public void Look_WithoutActivity_AsksWhenItIsIdle()
    {
        TimedConnection timed = Create(Never, Never);

        Assert.Equal(TimedAction.None, timed.Look(999, Idle, Grace));
        Assert.Equal(TimedAction.AskForIdle, timed.Look(1_000, Idle, Grace));
    }

    [Fact]
    public void Look_BehindActivity_CountsFromTheLookThatSawIt()
    {
        TimedConnection timed = Create(Never, Never);
        timed.NoteRead();

        Assert.Equal(TimedAction.None, timed.Look(1_000, Idle, Grace));
        Assert.Equal(TimedAction.None, timed.Look(1_999, Idle, Grace));
        Assert.Equal(TimedAction.AskForIdle, timed.Look(2_000, Idle, Grace));
    }

    private static TimedConnection Create(long oldAtMs, long oldForGoodAtMs, DefaultConnectionContext? connection = null)
    {
        using ServiceProvider services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        LimitReports reports = new(NullLogger.Instance, services.GetRequiredService<IMeterFactory>());
        TimeLimits limits = new(new ConnectionLimitsOptions { IdleTimeout = TimeSpan.FromDays(1) }, TimeProvider.System, reports);
        return new TimedConnection(limits, connection ?? new DefaultConnectionContext(), startedMs: 0, oldAtMs, oldForGoodAtMs);
    }

    private sealed class Asked(Action asked) : IConnectionLifetimeNotificationFeature
    {
        public CancellationToken ConnectionClosedRequested { get; set; }

        public void RequestClose() => asked();
    }
}
