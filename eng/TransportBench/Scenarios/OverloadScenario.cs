using System.Globalization;
using TransportBench.Client;
using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Servers;
using static TransportBench.Measuring.Figures;

namespace TransportBench.Scenarios;

/// <summary>
/// First 80 % of what a server can do, then so many times as much as it can, then 80 % again: in an open loop, as clients who do not know of each
/// other ask. Told is what was served meanwhile, how late, and how soon all is as before.
/// </summary>
/// <param name="Name">As on the command line.</param>
/// <param name="Title">As in tables.</param>
/// <param name="Request">What is asked for.</param>
/// <param name="Times">So many times what the server can do.</param>
internal sealed record OverloadScenario(string Name, string Title, Func<Exchange> Request, double Times) : Scenario(Name, Title)
{
    private const double NormalShare = 0.8;
    private const double LeadIn = 1;
    private const double RecoverySeconds = 1;
    private const int NormalConnections = 256;
    private const int MoreConnections = 768;

    // So few that nobody waits for long: what can be done is not to be refused.
    private const int FewConnections = 8;

    private static readonly Figure s_capacity = new("capacity-rps", "can do/s", Better.Neither);
    private static readonly Figure s_asked = new("asked-rps", "asked/s", Better.Neither);
    private static readonly Figure s_served = new("served-rps", "served/s", Better.Higher);
    private static readonly Figure s_refused = new("refused-rps", "refused/s", Better.Neither);
    private static readonly Figure s_possible = new("possible-rps", "can do beside the refusals/s", Better.Neither);
    private static readonly Figure s_refusal = new("refusal-us", "a refusal, µs", Better.Neither) { IsDetail = true };
    private static readonly Figure s_share = new("goodput", "served, % of what can be", Better.Higher);
    private static readonly Figure s_normalP99 = new("normal-p99-ms", "at 80 %: p99 ms", Better.Lower);
    private static readonly Figure s_p50 = new("overload-p50-ms", "served: p50 ms", Better.Lower) { IsDetail = true };
    private static readonly Figure s_p99 = new("overload-p99-ms", "served: p99 ms", Better.Lower);
    private static readonly Figure s_onset = new("onset-p99-ms", "its first second: p99 ms", Better.Lower);
    private static readonly Figure s_refusedP99 = new("refused-p99-ms", "refused: p99 ms", Better.Lower) { IsDetail = true };
    private static readonly Figure s_recovery = new("recovery-p99-ms", "the second after: p99 ms", Better.Lower);
    private static readonly Figure s_after = new("after-p99-ms", "then: p99 ms", Better.Lower);
    private static readonly Figure s_refusedNormally = new("refused-normally", "refused at 80 %, before and then, %", Better.Lower);
    private static readonly Figure s_lag = new("client-lag-p99-ms", "client lag: p99 ms", Better.Neither);

    // Of each server, found out while it is warmed up.
    private readonly Dictionary<Transport, (double Capacity, double RefusalSeconds)> _servers = [];

    /// <summary>How many handlers run at a time where they block; 0: they compute.</summary>
    public int Blocking { get; init; }

    private int Few => Blocking > 0 ? Blocking : FewConnections;

    public override IReadOnlyList<Figure> Headlines => [s_served, s_p99];

    public override IReadOnlyList<Figure> Figures =>
    [
        s_capacity, s_asked, s_served, s_refused, s_possible, s_share, s_normalP99, s_onset, s_p50, s_p99, s_refusedP99, s_recovery, s_after, s_refusedNormally,
        s_refusal, s_lag, ClientBusy, ServerBusy, OthersBusy,
    ];

    public override bool DiscardsTurns => true;

    public override bool Includes(Transport transport) =>
        transport == Transport.Sockets || transport == Transport.Control || transport == Transport.SocketsLimited || transport == Transport.EpollShedding;

    public override IReadOnlyList<string> Notes =>
    [
        string.Create(
            CultureInfo.InvariantCulture,
            $"100 % is what the server{(Blocking > 0 ? " with load shedding" : "")} does in a closed loop on {Few} connections; with load shedding, what it does in one beside as many plain refusals a second as it sent in the overload, measured behind it"),
    ];

    public override double SecondsOfTurn(double seconds) => LeadIn + (4 * seconds) + RecoverySeconds + LeadIn + seconds;

    public override Sample Run(ServerProcess server, double seconds)
    {
        (double capacity, double refusal) = _servers[server.Transport];

        // Where handlers block, Sockets can do as many as the pool has threads at the moment: all are asked for what ours can do.
        double full = Blocking > 0 && _servers.TryGetValue(Transport.EpollShedding, out (double Capacity, double) shedding) ? shedding.Capacity : capacity;
        double overload = LeadIn + seconds;
        double onset = overload + Math.Min(1, seconds / 2);
        double end = overload + (2 * seconds);
        double recovered = end + RecoverySeconds;
        LoadGroup normal = Group(server, NormalConnections) with { RequestsPerSecond = NormalShare * full };
        LoadGroup more = Group(server, MoreConnections) with
        {
            Name = "more",
            RequestsPerSecond = (Times - NormalShare) * full,
            StartAfter = overload,
            StopAfter = end,
        };
        ServerCost cost = ServerCost.Begin(server);
        LoadReport report = OwnClient.Run(
            new LoadPlan([normal, more], [LeadIn, overload, onset, end, recovered, recovered + seconds]) { HasPriority = true }, Settings.Processors);
        (IReadOnlyList<PhaseReport> phases, IReadOnlyList<PhaseReport> others) = (report.Groups[0].Phases, report.Groups[1].Phases);
        (PhaseReport before, PhaseReport during) = (phases[1], phases[3]);
        double busyPercent = 100 * report.ThreadSeconds[3] / during.Seconds;

        var sample = new Sample
        {
            ClientLimit = ClientLimit.Find(before, 100 * report.ThreadSeconds[1] / before.Seconds)
                ?? ClientLimit.Find(during, busyPercent) ?? ClientLimit.Find(others[3], busyPercent),
        };
        cost.AddTo(sample, phases.Concat(others).Sum(static p => p.Requests), Settings.Processors, clientThreads: 1);
        double served = during.RequestsPerSecond + others[3].RequestsPerSecond;
        double refused = (during.Refused + others[3].Refused) / during.Seconds;
        sample[s_capacity] = capacity;
        sample[s_asked] = (during.Sending!.Due + others[3].Sending!.Due) / during.Seconds;
        sample[s_served] = served;
        sample[s_refused] = refused;
        sample[s_refusal] = 1e6 * refusal;
        sample[s_possible] = refused == 0 || server.Transport != Transport.EpollShedding ? full : PossibleBeside(server, refused, seconds);
        sample[s_share] = 100 * served / sample[s_possible];
        sample[s_normalP99] = before.P99;
        sample[s_onset] = phases[2].P99;
        sample[s_p50] = during.P50;
        sample[s_p99] = during.P99;
        sample[s_refusedP99] = during.RefusedP99;
        sample[s_recovery] = phases[4].P99;
        sample[s_after] = phases[5].P99;
        sample[s_refusedNormally] = 100.0 * (before.Refused + phases[5].Refused)
            / (before.Refused + before.Requests + phases[5].Refused + phases[5].Requests);
        sample[s_lag] = Math.Max(during.Sending.LagP99, others[3].Sending!.LagP99);
        sample[ClientBusy] = busyPercent;
        return sample;
    }

    // In closed loops: of as many as run at a time, where they block; and of refusals, on all connections, as they will be.
    public override double WarmUp(ServerProcess server, double seconds)
    {
        double capacity = Closed(server, Group(server, Few), seconds).RequestsPerSecond;
        double refusal = 0;
        if (server.Transport.Kind == Transport.EpollShedding)
        {
            PhaseReport refusals = Closed(server, Group(server, NormalConnections + MoreConnections) with { Exchanges = [Exchanges.Refusal] }, seconds / 2);
            refusal = refusals.Seconds / refusals.Refused;
        }

        _servers[server.Transport] = (capacity, refusal);
        return 1 / capacity;
    }

    // The machine, the client on it included, has as much to do with refusals; but their requests wait for nothing, and neither do the others.
    private double PossibleBeside(ServerProcess server, double refusals, double seconds)
    {
        LoadGroup refused = new("refused", server.Endpoints.Http, [Exchanges.Refusal]) { Connections = MoreConnections, RequestsPerSecond = refusals };
        LoadPlan plan = new([Group(server, Few), refused], [LeadIn, LeadIn + seconds]) { HasPriority = true };
        return OwnClient.Run(plan, Settings.Processors).Groups[0].Phases[1].RequestsPerSecond;
    }

    private PhaseReport Closed(ServerProcess server, LoadGroup group, double seconds) =>
        OwnClient.Run(new LoadPlan([group], [seconds]) { HasPriority = true }, Settings.Processors).Groups[0].Phases[0];

    private LoadGroup Group(ServerProcess server, int connections) =>
        new("normal", server.Endpoints.Http, [Exchanges.OrRefused(Request())]) { Connections = connections };
}
