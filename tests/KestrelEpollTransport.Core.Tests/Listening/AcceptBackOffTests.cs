using KestrelEpollTransport.Listening;

namespace KestrelEpollTransport.Tests.Listening;

public class AcceptBackOffTests
{
    [Fact]
    public void Delay_FailureAfterFailure_DoublesFrom20To1000Milliseconds()
    {
        AcceptBackOff backOff = new();

        int[] delays = [.. Enumerable.Range(0, 9).Select(_ => backOff.NextDelayMs())];

        Assert.Equal([20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000], delays);
    }

    [Fact]
    public void Delay_AfterSomethingWasAccepted_BeginsAgain()
    {
        AcceptBackOff backOff = new();
        backOff.NextDelayMs();
        backOff.NextDelayMs();

        backOff.Reset();

        Assert.Equal(20, backOff.NextDelayMs());
        Assert.Equal(40, backOff.NextDelayMs());
    }

    [Fact]
    public void Report_OfManyFailuresInAShortTime_IsMadeOnce()
    {
        AcceptBackOff backOff = new();

        Assert.True(backOff.ShouldReport(out long failures));
        Assert.Equal(1, failures);
        Assert.DoesNotContain(true, Enumerable.Range(0, 1_000).Select(_ => backOff.ShouldReport(out long _)));
    }

    [Fact]
    public void Report_OfManyThreadsAtOnce_IsMadeOnce()
    {
        AcceptBackOff backOff = new();
        int reports = 0;

        Parallel.For(0, 10_000, _ =>
        {
            if (backOff.ShouldReport(out long _))
            {
                Interlocked.Increment(ref reports);
            }
        });

        Assert.Equal(1, reports);
    }

    [Fact]
    public void Report_AfterAReset_StaysLimited()
    {
        // One accept between failures must not make the log a line a failure.
        AcceptBackOff backOff = new();
        Assert.True(backOff.ShouldReport(out long _));

        backOff.NextDelayMs();
        backOff.Reset();

        Assert.False(backOff.ShouldReport(out long failures));
        Assert.Equal(1, failures);
    }
}
