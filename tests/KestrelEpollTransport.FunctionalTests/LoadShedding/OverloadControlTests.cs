using KestrelEpollTransport.LoadShedding;

namespace KestrelEpollTransport.FunctionalTests.LoadShedding;

/// <summary>When a queue is overloaded, and who is refused then. Time is simulated.</summary>
public class OverloadControlTests
{
    private const double TargetMs = 5;
    private const double IntervalMs = 100;

    private readonly OverloadControl _control = new(Ticks(TargetMs), Ticks(IntervalMs));
    private readonly List<OverloadNews> _news = [];
    private double _nowMs = 1_000_000;
    private int _inARow;

    [Fact]
    public void Requests_ThatWaitForLessThanTheTarget_AreServed()
    {
        Assert.Equal(0, Come(requests: 1_000, everyMs: 1, waitedMs: TargetMs));
        Assert.Empty(_news);
    }

    [Fact]
    public void Burst_ThatIsWorkedOffWithinTheInterval_IsServed()
    {
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(0, Come(requests: 95, everyMs: 1, waitedMs: 50));
            Assert.Equal(0, Come(requests: 1, everyMs: 1, waitedMs: TargetMs));
        }

        Assert.Empty(_news);
    }

    [Fact]
    public void Requests_ThatAllWaitForLongerThanTheTarget_AreOverloadAfterTheInterval()
    {
        Assert.Equal(0, Come(requests: (int)IntervalMs, everyMs: 1, waitedMs: 6));
        Assert.False(_control.IsOverloaded);

        Assert.Equal(50, Come(requests: 50, everyMs: 1, waitedMs: 6));
        Assert.True(_control.IsOverloaded);
        Assert.Equal([OverloadNews.Began], _news);
    }

    [Fact]
    public void Queue_ThatDrainsForLongerThanTheInterval_IsServed()
    {
        // As behind a moment in which the machine did something else, at 80 % of what the server can do.
        for (double waitedMs = 60; waitedMs > 0; waitedMs -= 0.2)
        {
            Assert.Equal(0, Come(requests: 1, everyMs: 1, waitedMs));
        }

        Assert.Empty(_news);
    }

    [Fact]
    public void Queue_ThatDrainsTooSlowly_IsOverloaded()
    {
        for (double waitedMs = 60; waitedMs > 0; waitedMs -= 0.1)
        {
            Come(requests: 1, everyMs: 1, waitedMs);
        }

        Assert.Equal(OverloadNews.Began, _news[0]);
    }

    [Fact]
    public void Queue_ThatIsShorterAtTheBeginningOfEachBatch_IsOverloadedAllTheSame()
    {
        // Ten each 250 ms, of which each takes 26 ms: whenever an interval is over, the next one has waited for much less than the last.
        int batches = 0;
        for (; _news.Count == 0 && batches < 60; batches++)
        {
            for (int i = 0; i < 10; i++)
            {
                Come(requests: 1, everyMs: 26, (batches * 10) + (i * 26));
            }
        }

        Assert.InRange(batches, 1, 20);
    }

    [Fact]
    public void Overload_RefusesWhatHasWaitedForLongerThanHalfTheTarget_AndServesTheRest()
    {
        Overload();
        for (int i = 0; i < 1_000; i++)
        {
            Assert.Equal(1, Come(requests: 1, everyMs: 1, waitedMs: 2.6));
            Assert.Equal(0, Come(requests: 1, everyMs: 1, waitedMs: 2.4));
        }

        Assert.True(_control.IsOverloaded);
    }

    [Fact]
    public void Overload_RefusesNoMoreInARowThanItHasTo()
    {
        Overload();
        Come(requests: 1, everyMs: 1, waitedMs: 2.4);
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal(3, Come(requests: 3, everyMs: 1, waitedMs: 2.6));
            Assert.Equal(0, Come(requests: 1, everyMs: 1, waitedMs: 2.4));
        }

        // About three for each that was served, and one more.
        Assert.InRange(Come(requests: 100, everyMs: 0.01, waitedMs: 4.9), 75, 80);

        // But not where nobody has waited for less than twice the limit.
        Assert.Equal(100, Come(requests: 100, everyMs: 0.01, waitedMs: 5.1));
    }

    [Fact]
    public void Overload_OfWhichNothingWaitsAnyMore_EndsAfterAnInterval()
    {
        Overload();
        Come(requests: 2 * (int)IntervalMs, everyMs: 1, waitedMs: 2);

        Assert.False(_control.IsOverloaded);
        Assert.Equal([OverloadNews.Began, OverloadNews.Ended], _news);

        // A burst is served again.
        Assert.Equal(0, Come(requests: 95, everyMs: 1, waitedMs: 50));
    }

    [Fact]
    public void Overload_FromWhichNothingComesForAnInterval_EndsWithTheNextRequest()
    {
        Overload();
        _nowMs += IntervalMs;

        Assert.Equal(0, Come(requests: 1, everyMs: 1, waitedMs: 50));
        Assert.Equal([OverloadNews.Began, OverloadNews.Ended], _news);
    }

    [Fact]
    public void Queue_FromWhichLessThanOneRequestPerIntervalBegins_IsOverloadedAfterTen()
    {
        Assert.Equal(0, Come(requests: OverloadControl.LeastRequests - 1, everyMs: 150, waitedMs: 3_000));
        Assert.Equal(90, Come(requests: 90, everyMs: 150, waitedMs: 3_000));
        Assert.Equal([OverloadNews.Began], _news);
    }

    [Fact]
    public void Queue_ThatWasEmptyBetweenItsFewRequests_IsNotOverloaded()
    {
        Assert.Equal(0, Come(requests: 100, everyMs: 150, waitedMs: 140));
        Assert.Empty(_news);
    }

    [Fact]
    public void Overload_GoesOnAfterAPause_OfAllThatWaits()
    {
        Overload();
        _nowMs += 500;

        Assert.Equal(50, Come(requests: 50, everyMs: 1, waitedMs: 510));
        Assert.Equal([OverloadNews.Began], _news);
    }

    [Fact]
    public void Overload_InWhichThreadsIdle_RefusesLessAndLess_UntilItEnds()
    {
        // As if a handler took longer than the target: whoever comes behind one has waited for long, and now and then somebody has not.
        Overload();
        List<int> refused = [];
        for (int interval = 0; interval < 10 && _control.IsOverloaded; interval++)
        {
            refused.Add(0);
            for (int i = 0; i < (int)IntervalMs / 10; i++)
            {
                refused[interval] += Come(requests: 8, everyMs: 1, waitedMs: 12) + Come(requests: 2, everyMs: 1, waitedMs: 0.1);
            }
        }

        Assert.False(_control.IsOverloaded);
        Assert.InRange(refused.Count, 3, 7);
        Assert.Equal(refused.OrderDescending(), refused);
        Assert.True(refused[0] > 70, $"{refused[0]} were refused at first.");
        Assert.InRange(refused[^1], 0, 8);
    }

    [Fact]
    public void Overload_InWhichAQueueWasEmptyOnceByChance_GoesOn()
    {
        Overload();
        for (int interval = 0; interval < 100; interval++)
        {
            Come(requests: 1, everyMs: 1, waitedMs: 0.1);
            Assert.Equal(99, Come(requests: 99, everyMs: 1, waitedMs: 3));
        }

        Assert.Equal([OverloadNews.Began], _news);
    }

    [Fact]
    public void FewRequests_AreNoOverload()
    {
        // One in 80 ms, which is no more than CoDel's one packet.
        Assert.Equal(0, Come(requests: OverloadControl.LeastRequests - 1, everyMs: 80, waitedMs: 50));
        Assert.False(_control.IsOverloaded);

        Assert.Equal(1, Come(requests: 1, everyMs: 80, waitedMs: 50));
    }

    [Fact]
    public void Pass_WhoseFirstRequestsHaveNotWaited_CountsByItsLongest()
    {
        for (long pass = 1; pass <= 12; pass++)
        {
            Come(requests: 5, everyMs: 1, waitedMs: 1, pass);
            Come(requests: 5, everyMs: 1, waitedMs: 12, pass);
        }

        Assert.Equal([OverloadNews.Began], _news);
    }

    [Fact]
    public void Passes_InWhichNobodyWaits_AreNoOverload_WhateverIsBetweenThem()
    {
        for (long pass = 1; pass <= 400; pass++)
        {
            Come(requests: 2, everyMs: 1, waitedMs: pass % 4 == 0 ? 12 : 1, pass);
        }

        Assert.Empty(_news);
    }

    private static long Ticks(double milliseconds) => TimeSpan.FromMilliseconds(milliseconds).Ticks;

    private void Overload() => Come(requests: 2 * (int)IntervalMs, everyMs: 1, waitedMs: 2 * TargetMs);

    // Returns how many were refused.
    private int Come(int requests, double everyMs, double waitedMs, long? pass = null)
    {
        int refused = 0;
        for (int i = 0; i < requests; i++)
        {
            _nowMs += everyMs;
            refused += _control.Refuses(Ticks(_nowMs), Ticks(waitedMs), pass, ref _inARow, out OverloadNews news) ? 1 : 0;
            if (news != OverloadNews.None)
            {
                _news.Add(news);
            }
        }

        return refused;
    }
}
