using TransportBench.Client;
using TransportBench.Measuring;
using TransportBench.Processes;
using TransportBench.Reports;

namespace KestrelEpollTransport.FunctionalTests.TransportBench;

public class StatisticsTests
{
    private static readonly Figure s_time = new("time", "time", Better.Lower);
    private static readonly Figure s_rate = new("rate", "rate", Better.Higher);

    [Theory]
    [InlineData(new double[] { 3, 1, 2 }, 2, 1, 3)]
    [InlineData(new double[] { 4, 1, 3, 2 }, 2.5, 1, 4)]
    [InlineData(new double[] { 5 }, 5, 5, 5)]
    public void Spread_OfValues_IsMiddleLeastAndGreatest(double[] values, double median, double min, double max) =>
        Assert.Equal(new Spread(median, min, max), Spread.Of(values));

    [Fact]
    public void Spread_OfRatios_ComparesWithinARound()
    {
        // The machine was twice as fast in the second round, and both were.
        Assert.Equal(new Spread(0.5, 0.5, 0.5), Spread.OfRatios([5, 10], [10, 20]));
    }

    [Fact]
    public void Spread_OfRatiosToNothing_IsNotThere() => Assert.Null(Spread.OfRatios([5, 10], [10, 0]));

    [Theory]
    [InlineData(0.80, 0.90, "better", "WORSE")]
    [InlineData(1.10, 1.20, "WORSE", "better")]
    [InlineData(0.90, 1.02, "", "")]
    public void Verdict_OnlyWhereRangesAreApart_SaysAnything(double min, double max, string ofTime, string ofRate)
    {
        var was = new Spread(1, 0.98, 1.03);
        var now = new Spread((min + max) / 2, min, max);

        Assert.Equal(ofTime, BaselineTable.Verdict(s_time, was, now));
        Assert.Equal(ofRate, BaselineTable.Verdict(s_rate, was, now));
    }

    [Fact]
    public void TurnOrder_OverAllRounds_LetsEachComeFirstAndLast()
    {
        const int Contestants = 4;
        IReadOnlyList<int>[] rounds = [.. Enumerable.Range(0, 2 * Contestants).Select(static r => TurnOrder.OfRound(r, Contestants))];

        Assert.All(rounds, static order => Assert.Equal([0, 1, 2, 3], order.Order()));
        Assert.Equal([0, 1, 2, 3], rounds.Select(static order => order[0]).Distinct().Order());
        Assert.Equal([0, 1, 2, 3], rounds.Select(static order => order[^1]).Distinct().Order());
        Assert.Equal([0, 1, 2, 3], rounds[0]);
        Assert.Equal([3, 2, 1, 0], rounds[1]);
    }

    [Fact]
    public void ContextSwitches_OfBothKinds_AreSummedUp() =>
        Assert.Equal(52, ContextSwitches.Parse(["Threads:\t7", "voluntary_ctxt_switches:\t40", "nonvoluntary_ctxt_switches:\t12"]));

    [Fact]
    public void ContextSwitches_OfThisProcess_CountWhoWaited()
    {
        const int Naps = 10;
        ContextSwitches before = ContextSwitches.Read(Environment.ProcessId);
        for (int i = 0; i < Naps; i++)
        {
            Thread.Sleep(1);
        }

        Assert.InRange(ContextSwitches.Read(Environment.ProcessId).Since(before), Naps, long.MaxValue);
    }

    [Theory]
    [InlineData("0-1", new[] { 0, 1 })]
    [InlineData("2,4-6,9\n", new[] { 2, 4, 5, 6, 9 })]
    public void Processors_ListOfTheKernel_IsRead(string list, int[] numbers) => Assert.Equal(numbers, Processors.ParseList(list));

    [Fact]
    public void Recorder_RequestThatNobodyAnswers_CountsInEveryPhaseThatItWaitsIn()
    {
        var clock = new PhaseClock([1, 3]);
        var recorder = new Recorder(clock);

        recorder.OnStillWaiting(since: clock.After(0.5), phase: 0);
        recorder.OnStillWaiting(since: clock.After(0.5), phase: 1);
        recorder.OnAnswer(since: clock.After(1.5), now: clock.After(1.6));
        IReadOnlyList<PhaseReport> phases = recorder.ToReport("group").Phases;

        Assert.Equal((0, 1), (phases[0].Requests, phases[0].Waiting));
        Assert.Equal((1, 1), (phases[1].Requests, phases[1].Waiting));
        Assert.Equal(500, phases[0].P50, tolerance: 1);
        Assert.Equal(100, phases[1].P50, tolerance: 1);
        Assert.Equal(2500, phases[1].Max, tolerance: 2);
        Assert.Equal(0.5, phases[1].RequestsPerSecond);
    }
}
