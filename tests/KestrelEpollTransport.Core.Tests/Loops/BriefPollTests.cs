using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Tests.Loops;

public class BriefPollTests
{
    private static readonly long s_soon = BriefPoll.Brief / 2;
    private static readonly long s_late = BriefPoll.Brief * 100;

    [Fact]
    public void Default_Polls_AsLongAsItFindsSomething()
    {
        BriefPoll poll = new(fixedTicks: null);
        for (int i = 0; i < 1_000; i++)
        {
            Assert.Equal(BriefPoll.Brief, poll.Ticks);
            poll.NotePoll(found: true);
        }

        // Twice for nothing, after ever so many: it is worth the next one.
        poll.NotePoll(found: false);
        poll.NotePoll(found: false);
        Assert.Equal(BriefPoll.Brief, poll.Ticks);
        poll.NotePoll(found: false);
        Assert.Equal(0, poll.Ticks);
    }

    [Theory]
    [InlineData(20, true)]
    [InlineData(4, false)]
    public void Default_WherePollsAreForNothingOneInSoMany_PollsIfTheyAreFew(int oneIn, bool polls)
    {
        BriefPoll poll = new(fixedTicks: null);
        int polled = 0;
        for (int i = 0; i < 10_000; i++)
        {
            bool found = i % oneIn != 0;
            if (poll.Ticks > 0)
            {
                polled++;
                poll.NotePoll(found);
            }
            else
            {
                poll.NoteSleep(found ? s_soon : s_late);
            }
        }

        Assert.InRange(polled, polls ? 9_000 : 0, polls ? 10_000 : 100);
    }

    [Fact]
    public void Default_WhereItSlept_PollsAgainOnceNearlyAllComesSoon()
    {
        BriefPoll poll = new(fixedTicks: null);
        for (int i = 0; i < 1_000; i++)
        {
            poll.NoteSleep(s_late);
        }

        for (int i = 0; i < 64; i++)
        {
            Assert.Equal(0, poll.Ticks);
            poll.NoteSleep(s_soon);
        }

        Assert.Equal(BriefPoll.Brief, poll.Ticks);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1_000)]
    public void Fixed_IsWhatItIs(long ticks)
    {
        BriefPoll poll = new(ticks);
        for (int i = 0; i < 100; i++)
        {
            poll.NotePoll(found: false);
            Assert.Equal(ticks, poll.Ticks);
        }
    }
}
