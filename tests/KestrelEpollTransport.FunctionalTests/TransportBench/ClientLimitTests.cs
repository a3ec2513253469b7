using TransportBench.Client;
using TransportBench.Measuring;
using TransportBench.Reports;
using TransportBench.Running;
using TransportBench.Scenarios;
using Contestant = TransportBench.Servers.Transport;

namespace KestrelEpollTransport.FunctionalTests.TransportBench;

/// <summary>Turns that were about the client are discarded, and said to be.</summary>
public class ClientLimitTests
{
    private static readonly Dictionary<Contestant, IReadOnlyDictionary<string, double>> s_noCalls = [];

    [Theory]
    [InlineData(0.20, 1, null)]
    [InlineData(0.21, 1, "it sent late, p99 0.21 ms where latency had 1.00 ms")]
    [InlineData(1.00, 10, null)]
    [InlineData(1.10, 10, "it sent late, p99 1.10 ms where latency had 10.00 ms")]
    public void ClientLimit_Lag_IsAllowedUpToATenthOfP99OrTheLeast(double lag, double p99, string? reason) =>
        Assert.Equal(reason, ClientLimit.Find(Phase(due: 1000, unsent: 0, lag, p99), busyPercent: 50));

    [Theory]
    [InlineData(94.9, null)]
    [InlineData(95, "its thread was busy for 95 % of the time")]
    public void ClientLimit_BusyThread_HasNoneToSpare(double busyPercent, string? reason) =>
        Assert.Equal(reason, ClientLimit.Find(Phase(due: 1000, unsent: 0, lag: 0.1, p99: 1), busyPercent));

    [Theory]
    [InlineData(10, null)]
    [InlineData(11, "it sent 989 of the 1,000 requests that were due")]
    public void ClientLimit_RequestsThatCouldHaveLeft_HaveToBeSent(long unsent, string? reason) =>
        Assert.Equal(reason, ClientLimit.Find(Phase(due: 1000, unsent, lag: 0.1, p99: 1), busyPercent: 50));

    [Fact]
    public void ClientLimit_ServerThatIsTooSlow_IsNoReason()
    {
        PhaseReport phase = Phase(due: 40_000, unsent: 0, lag: 0.1, p99: 2000) with { Requests = 20_000, Waiting = 20_000 };

        Assert.Null(ClientLimit.Find(phase, busyPercent: 50));
    }

    [Fact]
    public void Attempts_TurnsOfALateClient_AreTakenAgain()
    {
        var good = new Sample();
        var turns = new Queue<Sample>([new Sample { ClientLimit = "late" }, new Sample { ClientLimit = "busy" }, good, new Sample()]);
        List<string> discarded = [];

        Assert.Same(good, Attempts.Take(turns.Dequeue, discarded));
        Assert.Equal(["late", "busy"], discarded);
    }

    [Fact]
    public void Attempts_ClientThatIsAlwaysLate_IsGivenUp()
    {
        List<string> discarded = [];

        Assert.Null(Attempts.Take(static () => new Sample { ClientLimit = "late" }, discarded));
        Assert.Equal(Enumerable.Repeat("late", Attempts.Most), discarded);
    }

    [Fact]
    public void ScenarioTable_OpenLoop_TellsTailCostAndWhatWasDiscarded()
    {
        var scenario = new OpenLoopScenario("open", "Open loop") { RequestsPerSecond = 4000, ShareOfSockets = 0.4 };
        Sample[][] samples = [[Filled(scenario, 2)], [Filled(scenario, 3)]];
        ScenarioResult result = ScenarioResult.Of(scenario, [Contestant.Sockets, Contestant.Epoll], samples, [[], ["it sent late", "it was busy"]], s_noCalls, [null, null]);

        IReadOnlyList<IReadOnlyList<string>> rows = ScenarioTable.Rows(result, withDetails: false);

        Assert.Equal(
            [
                "transport", "p50 ms", "× Sockets", "p99 ms", "× Sockets", "p99.9 ms", "× Sockets", "max ms", "× Sockets",
                "CPU µs a request", "× Sockets", "requests/s", "× Sockets", "client lag: p99 ms", "client CPU %", "others' CPU %", "turns discarded",
            ],
            rows[0]);
        const string Ratio = "1.50 (1.50..1.50)";
        Assert.Equal(
            ["epoll", "3.00", Ratio, "3.00", Ratio, "3.00", Ratio, "3.00", Ratio, "3.00", Ratio, "3.00", Ratio, "3.00", "3.00", "3.00", "2"],
            rows[2]);
        Assert.Equal("0", rows[1][^1]);
        string[] lines = [.. ScenarioTable.Lines(result)];
        Assert.StartsWith("Asked for 4,000 requests/s: 40 % of", lines[0], StringComparison.Ordinal);
        Assert.Equal(["epoll: turns discarded because the client was the limit: it sent late; it was busy"], lines[1..]);
    }

    [Theory]
    [InlineData(94, "94.0", false)]
    [InlineData(97, "97.0 (limit)", true)]
    public void ScenarioTable_ClosedLoop_MarksWhereTheClientIsTheLimit(double busyPercent, string cell, bool isExplained)
    {
        Scenario scenario = Catalog.All.First(static s => s.Name == "json-64");
        Sample sample = Filled(scenario, 1);
        sample[Figures.ClientBusy] = busyPercent;
        ScenarioResult result = ScenarioResult.Of(scenario, [Contestant.Sockets], [[sample]], [[]], s_noCalls, [null]);

        IReadOnlyList<IReadOnlyList<string>> rows = ScenarioTable.Rows(result, withDetails: false);

        Assert.Equal(cell, rows[1][rows[0].ToList().IndexOf("client CPU %")]);
        Assert.DoesNotContain("turns discarded", rows[0]);
        Assert.Equal(isExplained, ScenarioTable.Lines(result).Any(static l => l.StartsWith("(limit)", StringComparison.Ordinal)));
    }

    private static Sample Filled(Scenario scenario, double value)
    {
        var sample = new Sample();
        foreach (Figure figure in scenario.Figures)
        {
            sample[figure] = value;
        }

        return sample;
    }

    private static PhaseReport Phase(long due, long unsent, double lag, double p99) =>
        new(1, due, 0, 0, p99 / 2, p99 / 2, p99, p99, p99) { Sending = new SendingReport(due, unsent, lag, lag) };
}
