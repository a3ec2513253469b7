namespace KestrelEpollTransport.Tests.Connections;

/// <summary>Every interleaving of a flush that waits for room with those who make it.</summary>
public class FlushWaitTests
{
    private static readonly Dictionary<string, Func<FlushModel, IEnumerable<Step>>> s_others = new()
    {
        ["drain 1"] = model => model.Drain(1),
        ["drain 2"] = model => model.Drain(2),
        ["drain 3"] = model => model.Drain(3),
        ["drain 4"] = model => model.Drain(4),
        ["drain 2 twice"] = model => model.Drain(2).Concat(model.Drain(2)),
        ["cancel"] = model => model.Cancel(),
        ["close"] = model => model.Close(),
    };

    [Theory]
    [InlineData("drain 1")]
    [InlineData("drain 3")]
    [InlineData("drain 4")]
    [InlineData("drain 2 twice")]
    [InlineData("drain 1,drain 2")]
    [InlineData("drain 2,drain 2")]
    [InlineData("drain 3,cancel")]
    [InlineData("drain 1,cancel")]
    [InlineData("close")]
    [InlineData("close,cancel")]
    public void Flush_AgainstWhoEndsWaits_IsResumedOnceAndNeverForgotten(string others)
    {
        int count = Interleavings.Explore(() => FlushModel.Create(unsent: 4), model => model.Check(), Actors(others));

        Assert.True(count > 5, $"Only {count} schedules: the actors did not meet.");
    }

    [Fact]
    public void Flush_ClearAfterTheSecondLook_LosesTheWakeUp()
    {
        InterleavingException found = Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => FlushModel.Create(unsent: 4, FlushFlaw.ClearsLate), model => model.Check(), Actors("drain 4")));

        Assert.Contains("Waits for ever", found.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Drain_LookBeforeItSaysWhatWasSent_LosesTheWakeUp()
    {
        InterleavingException found = Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => FlushModel.Create(unsent: 4, FlushFlaw.TellsEarly), model => model.Check(), Actors("drain 4")));

        Assert.Contains("Waits for ever", found.Message, StringComparison.Ordinal);
    }

    private static Actor<FlushModel>[] Actors(string others) =>
    [
        new("flush", model => model.Flush()),
        .. others.Split(',').Select(name => new Actor<FlushModel>(name, s_others[name])),
    ];
}
