using TransportBench.Client;
using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Processes;
using TransportBench.Servers;
using static TransportBench.Measuring.Figures;

namespace TransportBench.Scenarios;

/// <summary>
/// Cheap requests first alone, then beside something that disturbs them: what is left of their throughput, and how long
/// they wait, in the first second of the disturbance and afterwards.
/// </summary>
/// <param name="Name">As on the command line.</param>
/// <param name="Title">As in tables.</param>
/// <param name="Disturbers">Makes the groups that disturb, given where the server listens.</param>
internal sealed record MixedScenario(string Name, string Title, Func<Endpoints, IReadOnlyList<LoadGroup>> Disturbers)
    : Scenario(Name, Title)
{
    private const string Cheap = "cheap";
    private const string First = "new connections";
    private const double NewConnectionsPerSecond = 20;
    private const double FirstSecond = 1;

    private static readonly Figure s_share = new("share", "cheap, % of alone", Better.Higher);
    private static readonly Figure s_alone = new("alone-rps", "cheap/s alone", Better.Higher) { IsDetail = true };
    private static readonly Figure s_cheap = new("cheap-rps", "cheap/s", Better.Higher);
    private static readonly Figure s_aloneP99 = new("alone-p99-ms", "alone: p99 ms", Better.Lower) { IsDetail = true };
    private static readonly Figure s_firstP50 = new("first-p50-ms", "first second: p50 ms", Better.Lower) { IsDetail = true };
    private static readonly Figure s_firstP99 = new("first-p99-ms", "first second: p99 ms", Better.Lower);
    private static readonly Figure s_laterP50 = new("later-p50-ms", "then: p50 ms", Better.Lower) { IsDetail = true };
    private static readonly Figure s_laterP99 = new("later-p99-ms", "then: p99 ms", Better.Lower);
    private static readonly Figure s_firstNewP99 = new("first-new-p99-ms", "new connection, first second: p99 ms", Better.Lower);
    private static readonly Figure s_newP99 = new("new-p99-ms", "new connection, then: p99 ms", Better.Lower);
    private static readonly Figure s_disturbing = new("disturbing-rps", "disturbing/s", Better.Higher);
    private static readonly Figure s_threads = new("pool-threads", "pool threads", Better.Neither) { IsDetail = true };

    /// <summary>The connections that send cheap requests.</summary>
    public int CheapConnections { get; init; } = 64;

    public override bool NeedsFreshServer => true;

    public override IReadOnlyList<Figure> Headlines => [s_share, s_disturbing];

    public override IReadOnlyList<Figure> Figures =>
    [
        s_share, s_disturbing, s_cheap, s_alone, s_aloneP99, s_firstP50, s_firstP99, s_laterP50, s_laterP99, s_firstNewP99, s_newP99,
        ServerBusy, ClientBusy, OthersBusy, s_threads, Resident,
    ];

    public override double SecondsOfTurn(double seconds) => (2 * seconds) + FirstSecond;

    public override Sample Run(ServerProcess server, double seconds)
    {
        ServerCost cost = ServerCost.Begin(server);
        IReadOnlyList<LoadGroup> disturbers = Disturbers(server.Endpoints);
        LoadReport report = OwnClient.Run(Plan(server, disturbers, seconds), Settings.Processors);
        IReadOnlyList<PhaseReport> cheap = report.Groups[0].Phases;
        (PhaseReport alone, PhaseReport first, PhaseReport later) = (cheap[0], cheap[1], cheap[2]);
        double disturbed = (first.Requests + later.Requests) / (first.Seconds + later.Seconds);

        var sample = new Sample();
        cost.AddTo(sample, cheap.Sum(static p => p.Requests), Settings.Processors, ClientThreads(disturbers));
        sample[s_share] = 100 * disturbed / alone.RequestsPerSecond;
        sample[s_cheap] = disturbed;
        sample[s_alone] = alone.RequestsPerSecond;
        sample[s_aloneP99] = alone.P99;
        sample[s_firstP50] = first.P50;
        sample[s_firstP99] = first.P99;
        sample[s_laterP50] = later.P50;
        sample[s_laterP99] = later.P99;
        sample[s_firstNewP99] = report.Groups[1].Phases[1].P99;
        sample[s_newP99] = report.Groups[1].Phases[2].P99;
        sample[s_disturbing] = report.Groups.Skip(2).Sum(static g => g.Phases.Skip(1).Sum(static p => p.Requests))
            / (first.Seconds + later.Seconds);
        sample[s_threads] = server.GetState().PoolThreads;
        return sample;
    }

    // Without the disturbance: that would leave threads behind, and the first second is about a server that has few.
    public override double WarmUp(ServerProcess server, double seconds)
    {
        ServerCost cost = ServerCost.Begin(server);
        IReadOnlyList<LoadGroup> calm = [.. Disturbers(server.Endpoints).Select(static g => g with { Connections = 1 })];
        LoadReport report = OwnClient.Run(new LoadPlan([CheapGroup(server), .. calm], [seconds]), Settings.Processors);
        var sample = new Sample();
        cost.AddTo(sample, report.Groups[0].Phases[0].Requests, Settings.Processors, ClientThreads(calm));
        return sample[ProcessorTime];
    }

    private LoadPlan Plan(ServerProcess server, IReadOnlyList<LoadGroup> disturbers, double seconds)
    {
        LoadGroup fresh = CheapGroup(server) with { Name = First, ConnectionsPerSecond = NewConnectionsPerSecond };
        return new LoadPlan(
            [CheapGroup(server), fresh, .. disturbers.Select(g => g with { StartAfter = seconds })],
            [seconds, seconds + FirstSecond, (2 * seconds) + FirstSecond]);
    }

    // TLS is spoken by the thread pool.
    private int ClientThreads(IEnumerable<LoadGroup> groups) =>
        groups.Any(static g => g.UsesTls) ? Settings.Processors.Load.Count : 1;

    private LoadGroup CheapGroup(ServerProcess server) =>
        new(Cheap, server.Endpoints.Http, [Exchanges.Json]) { Connections = CheapConnections };
}
