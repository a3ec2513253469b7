using TransportBench.Measuring;
using TransportBench.Reports;
using TransportBench.Running;

namespace KestrelEpollTransport.FunctionalTests.TransportBench;

/// <summary>A report of a short run, or of a busy machine, says itself that nobody should quote it.</summary>
public class QuotableTests
{
    [Theory]
    [InlineData(1, 2, 15, 0, "2 rounds")]
    [InlineData(7, 1, 1, 0, "1 s of warm-up")]
    [InlineData(7, 1, 15, 40, "had 40 % of the machine")]
    public void Report_OfALookOrABusyMachine_SaysSoFirst(int pairs, int launches, double warmUp, double others, string reason)
    {
        string[] lines = MarkdownReport.Format(Run(pairs, launches, warmUp, others), [], "").Split('\n');

        Assert.StartsWith("**Not to be quoted: ", lines[2], StringComparison.Ordinal);
        Assert.Contains(reason, lines[2], StringComparison.Ordinal);
    }

    [Fact]
    public void Report_OfAMeasurement_DoesNot()
    {
        Assert.DoesNotContain("quoted", MarkdownReport.Format(Run(3, 3, 6, others: 2), [], ""), StringComparison.Ordinal);
    }

    private static RunResult Run(int pairs, int launches, double warmUpSeconds, double others)
    {
        var busy = new FigureResult([others, others, 100], new Spread(others, others, 100), null);
        var contestant = new ContestantResult("sockets", "Sockets", new Dictionary<string, FigureResult> { [Figures.OthersBusy.Key] = busy }, null);
        return new RunResult(
            new MachineInfo("processor", 2, "kernel", "runtime", "revision"),
            new RunInfo(DateTimeOffset.UnixEpoch, pairs, Seconds: 2, warmUpSeconds, launches),
            [new ScenarioResult("json-64", "JSON", [Figures.OthersBusy], [], [contestant], Failure: null)]);
    }
}
