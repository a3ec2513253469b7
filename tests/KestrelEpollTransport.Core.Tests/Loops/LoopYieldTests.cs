using System.Diagnostics;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Tests.Loops;

public class LoopYieldTests
{
    private const long Now = 1_000_000_000;

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [InlineData(256, true)]
    public void Pass_WithEventsOfSeveral_GivesWay(int events, bool expected) =>
        Assert.Equal(expected, default(LoopYield).IsDue(events, Now));

    [Fact]
    public void WhoIsBackSoon_GivesWayAgain()
    {
        LoopYield yield = default;

        yield.OnBack(Now, Now + LoopYield.TooLong);

        Assert.True(yield.IsDue(2, Now + LoopYield.TooLong));
    }

    [Fact]
    public void WhoWaitedForLong_RestsInProportion()
    {
        LoopYield yield = default;
        long back = Now + LoopYield.TooLong + 1;

        yield.OnBack(Now, back);

        long restsUntil = back + (LoopYield.RestFactor * (back - Now));
        Assert.False(yield.IsDue(256, back));
        Assert.False(yield.IsDue(256, restsUntil - 1));
        Assert.True(yield.IsDue(256, restsUntil));
    }

    [Fact]
    public void WhoWasStoppedForAnHour_GivesWayAgainSoon()
    {
        LoopYield yield = default;
        long back = Now + (3_600 * Stopwatch.Frequency);

        yield.OnBack(Now, back);

        Assert.False(yield.IsDue(256, back));
        Assert.True(yield.IsDue(256, back + Stopwatch.Frequency));
    }
}
