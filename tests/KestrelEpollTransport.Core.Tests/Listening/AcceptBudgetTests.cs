using KestrelEpollTransport.Listening;

namespace KestrelEpollTransport.Tests.Listening;

public class AcceptBudgetTests
{
    [Theory]
    [InlineData(1, AcceptBudget.Least)]
    [InlineData(16, AcceptBudget.Least)]
    [InlineData(100, 25)]
    [InlineData(100_000, EpollListener.QueueLimit)]
    public void Take_GoesByTheEventsSinceTheTurnBefore(long events, int expected)
    {
        AcceptBudget budget = default;
        budget.Take(1_000_000);

        Assert.Equal(expected, budget.Take(1_000_000 + events));
    }
}
