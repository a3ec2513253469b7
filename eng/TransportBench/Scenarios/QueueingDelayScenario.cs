using TransportBench.Client;
using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>
/// What the server says of the time that requests waited there, against the client's figure, in an open loop: at 60 %, at 90 %, and while a burst of
/// twice what it can do is worked off. What is left of the client's is the handler and the way there and back, whatever the load.
/// </summary>
internal sealed record QueueingDelayScenario(string Name, string Title) : Scenario(Name, Title)
{
    private const int ComputeMicroseconds = 200;
    private const double LeadIn = 1;
    private const double BurstSeconds = 0.05;

    // So short that there is a connection for each request that waits.
    private const double BurstShare = 1.4;
    private const int Connections = 512;

    private static readonly (string Key, string Title)[] s_loads = [("60pct", "60 %"), ("90pct", "90 %"), ("burst", "burst")];

    private readonly Dictionary<Transport, double> _capacities = [];

    public override IReadOnlyList<Figure> Headlines => [FigureOf(0, "latency-p99", "latency p99 ms")];

    public override IReadOnlyList<Figure> Figures =>
    [
        .. Enumerable.Range(0, s_loads.Length).SelectMany(static load => new[]
        {
            FigureOf(load, "latency-p50", "latency p50 ms"), FigureOf(load, "said-p50", "said p50"), FigureOf(load, "rest-p50", "rest p50"),
            FigureOf(load, "latency-p99", "p99"), FigureOf(load, "said-p99", "said p99"), FigureOf(load, "rest-p99", "rest p99"),
        }),
    ];

    public override bool DiscardsTurns => true;

    public override bool Includes(Transport transport) => transport == Transport.Epoll || transport == Transport.EpollPool;

    public override double SecondsOfTurn(double seconds) => LeadIn + (3 * seconds);

    public override Sample Run(ServerProcess server, double seconds)
    {
        double capacity = _capacities[server.Transport];
        double ninety = LeadIn + seconds;
        double burst = ninety + seconds;
        LoadGroup told = Group(server) with { RequestsPerSecond = 0.6 * capacity };
        LoadGroup more = Group(server) with { Name = "more", RequestsPerSecond = 0.3 * capacity, StartAfter = ninety, StopAfter = burst + BurstSeconds };
        LoadGroup most = Group(server) with
        {
            Name = "most",
            RequestsPerSecond = BurstShare * capacity,
            StartAfter = burst,
            StopAfter = burst + BurstSeconds,
        };
        LoadReport report = OwnClient.Run(
            new LoadPlan([told, more, most], [LeadIn, ninety, burst, burst + (2 * BurstSeconds), burst + seconds]) { HasPriority = true }, Settings.Processors);
        IReadOnlyList<PhaseReport> phases = report.Groups[0].Phases;
        var sample = new Sample
        {
            ClientLimit = ClientLimit.Find(phases[1], 100 * report.ThreadSeconds[1] / phases[1].Seconds)
                ?? ClientLimit.Find(phases[2], 100 * report.ThreadSeconds[2] / phases[2].Seconds),
        };
        for (int load = 0; load < s_loads.Length; load++)
        {
            PhaseReport phase = phases[load + 1];
            double[] values = [phase.P50, phase.Queueing!.P50, phase.Queueing.RestP50, phase.P99, phase.Queueing.P99, phase.Queueing.RestP99];
            foreach ((Figure figure, double value) in Figures.Skip(load * values.Length).Zip(values))
            {
                sample[figure] = value;
            }
        }

        return sample;
    }

    public override double WarmUp(ServerProcess server, double seconds)
    {
        LoadReport report = OwnClient.Run(new LoadPlan([Group(server)], [seconds]) { HasPriority = true }, Settings.Processors);
        return 1 / (_capacities[server.Transport] = report.Groups[0].Phases[0].RequestsPerSecond);
    }

    private static Figure FigureOf(int load, string key, string title) =>
        new($"{s_loads[load].Key}-{key}-ms", $"{s_loads[load].Title}: {title}", Better.Neither);

    private static LoadGroup Group(ServerProcess server) =>
        new("told", server.Endpoints.Http, [Exchange.Get($"{Exchanges.BurnPath(ComputeMicroseconds)}&queueing", Exchanges.PlaintextBody)])
        {
            Connections = Connections,
            TellsQueueing = true,
        };
}
