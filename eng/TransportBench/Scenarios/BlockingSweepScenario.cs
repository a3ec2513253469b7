using System.Globalization;
using TransportBench.Client;
using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>
/// The throughput of cheap requests while more and more handlers block: step by step on one server, as load grows in life.
/// </summary>
internal sealed record BlockingSweepScenario(string Name, string Title) : Scenario(Name, Title)
{
    private const int CheapConnections = 64;
    private const int SleepMs = 50;

    private static readonly Figure[] s_figures = [.. Steps.Select(FigureOf)];

    /// <summary>How many connections ask for 50 ms of sleep at each step.</summary>
    public static IReadOnlyList<int> Steps => [0, 1, 2, 4, 8, 16, 32, 64, 100, 200];

    public override IReadOnlyList<Figure> Figures => s_figures;

    public override IReadOnlyList<Figure> Headlines => [s_figures[0], s_figures[^1]];

    public override bool NeedsFreshServer => true;

    public override int RoundsOf(int asked) => Math.Min(asked, 3);

    public override double SecondsOfTurn(double seconds) => seconds * Steps.Count;

    /// <summary>The cheap requests a second while so many handlers block.</summary>
    public static Figure FigureOf(int blocking) => new(
        string.Create(CultureInfo.InvariantCulture, $"rps-beside-{blocking}"),
        string.Create(CultureInfo.InvariantCulture, $"{blocking} block"),
        Better.Higher);

    public override Sample Run(ServerProcess server, double seconds)
    {
        var groups = new List<LoadGroup> { Cheap(server) };
        for (int i = 1; i < Steps.Count; i++)
        {
            groups.Add(new LoadGroup($"blocking {i}", server.Endpoints.Http, [Exchanges.Sleep(SleepMs)])
            {
                Connections = Steps[i] - Steps[i - 1],
                StartAfter = i * seconds,
            });
        }

        double[] ends = [.. Enumerable.Range(1, Steps.Count).Select(i => i * seconds)];
        LoadReport report = OwnClient.Run(new LoadPlan(groups, ends), Settings.Processors);
        var sample = new Sample();
        foreach ((Figure figure, PhaseReport phase) in s_figures.Zip(report.Groups[0].Phases))
        {
            sample[figure] = phase.RequestsPerSecond;
        }

        return sample;
    }

    public override double WarmUp(ServerProcess server, double seconds)
    {
        LoadReport report = OwnClient.Run(new LoadPlan([Cheap(server)], [seconds]), Settings.Processors);
        return report.Groups[0].Phases[0].RequestsPerSecond;
    }

    private static LoadGroup Cheap(ServerProcess server) =>
        new("cheap", server.Endpoints.Http, [Exchanges.Json]) { Connections = CheapConnections };
}
