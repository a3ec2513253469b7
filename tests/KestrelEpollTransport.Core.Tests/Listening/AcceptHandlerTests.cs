using KestrelEpollTransport.Listening;

namespace KestrelEpollTransport.Tests.Listening;

public class AcceptHandlerTests
{
    [Theory]
    [InlineData(1, 10_000, AcceptHandler.LeastBudget)]
    [InlineData(16, 10_000, AcceptHandler.LeastBudget)]
    [InlineData(100, 10_000, 25)]
    [InlineData(100_000, 10_000, AcceptPlaces.Limit)]
    [InlineData(100_000, 100, 25)]
    [InlineData(100_000, 0, AcceptHandler.LeastBudget)]
    public void TakeBudget_GoesByTheEventsSinceTheTurnBefore_OfOneRoundAtMost(long events, int load, int expected)
    {
        AcceptHandler handler = new(null!, null!);
        handler.TakeBudget(1_000_000, load);

        Assert.Equal(expected, handler.TakeBudget(1_000_000 + events, load));
    }
}
