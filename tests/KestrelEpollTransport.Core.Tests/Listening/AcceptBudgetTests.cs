using KestrelEpollTransport.Listening;

namespace KestrelEpollTransport.Tests.Listening;

public class AcceptBudgetTests
{
    [Theory]
    [InlineData(1, 10_000, AcceptBudget.Least)]
    [InlineData(16, 10_000, AcceptBudget.Least)]
    [InlineData(100, 10_000, 25)]
    [InlineData(100_000, 10_000, EpollListener.QueueLimit)]
    [InlineData(100_000, 100, 25)]
    [InlineData(100_000, 0, AcceptBudget.Least)]
    public void Take_GoesByTheEventsSinceTheTurnBefore_OfOneRoundAtMost(long events, int load, int expected)
    {
        AcceptBudget budget = default;
        budget.Take(1_000_000, load);

        Assert.Equal(expected, budget.Take(1_000_000 + events, load));
    }
}
