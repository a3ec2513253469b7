using KestrelEpollTransport.Diagnostics;

namespace KestrelEpollTransport.Tests.Diagnostics;

/// <summary>The busy time of a loop, in ticks of a clock that the tests set.</summary>
public class LoopTotalsTests
{
    [Fact]
    public void Busy_BeforeTheFirstWaitReturned_IsZero()
    {
        LoopTotals totals = default;
        totals.OnIdle(1_000);

        Assert.Equal(0, totals.GetBusy(5_000));
    }

    [Fact]
    public void Busy_WhileTheLoopIsBusy_GrowsWithTheClock()
    {
        LoopTotals totals = default;
        totals.OnTold(events: 1, now: 1_000);

        Assert.Equal(0, totals.GetBusy(1_000));
        Assert.Equal(70, totals.GetBusy(1_070));
    }

    [Fact]
    public void Busy_WhileTheLoopIsIdle_StandsStill()
    {
        LoopTotals totals = default;
        totals.OnTold(events: 1, now: 1_000);
        totals.OnIdle(1_030);

        Assert.Equal(30, totals.GetBusy(1_030));
        Assert.Equal(30, totals.GetBusy(9_000));
    }

    [Fact]
    public void Busy_OfSeveralTurns_IsTheirSum()
    {
        LoopTotals totals = default;
        for (int now = 1_000; now < 2_000; now += 100)
        {
            totals.OnTold(events: 3, now);
            totals.OnIdle(now + 7);
        }

        Assert.Equal(70, totals.GetBusy(5_000));
        Assert.Equal(10, totals.Waits);
        Assert.Equal(30, totals.Events);
    }

    [Fact]
    public void Busy_WithWaitsThatDidNotWait_GoesOn()
    {
        LoopTotals totals = default;
        totals.OnTold(events: 1, now: 1_000);
        totals.OnIdle(0);
        totals.OnTold(events: 1, now: 1_040);
        totals.OnIdle(0);

        Assert.Equal(90, totals.GetBusy(1_090));
    }

    [Fact]
    public void Busy_OfALoopThatPolledBeforeItSlept_EndsWhenItBeganToPoll()
    {
        LoopTotals totals = default;
        totals.OnTold(events: 1, now: 1_000);
        totals.OnIdle(1_020);
        totals.OnIdle(1_070);
        totals.OnTold(events: 1, now: 3_000);

        Assert.Equal(20, totals.GetBusy(3_000));
    }
}
