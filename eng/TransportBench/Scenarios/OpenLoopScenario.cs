using System.Globalization;
using TransportBench.Client;
using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Servers;
using static TransportBench.Measuring.Figures;

namespace TransportBench.Scenarios;

/// <summary>
/// JSON at a rate that the server doesn't decide: an <see cref="OpenLoop"/> of our own client. Told is how long users wait at that
/// rate, and what it costs.
/// </summary>
internal sealed record OpenLoopScenario(string Name, string Title) : Scenario(Name, Title)
{
    // Connecting, and compiling the client.
    private const double LeadIn = 1;

    private static readonly Figure s_p999 = P999 with { IsDetail = false };
    private static readonly Figure s_max = new("max-ms", "max ms", Better.Lower);
    private static readonly Figure s_lag = new("client-lag-p99-ms", "client lag: p99 ms", Better.Neither);

    private double _capacity;

    public int Connections { get; init; } = 256;

    /// <summary>The mean rate that is asked for; 0: a share of what Sockets can serve, not yet known.</summary>
    public double RequestsPerSecond { get; init; }

    /// <summary>If not 0: the rate is so much of what Sockets serves in a closed loop on as many connections.</summary>
    public double ShareOfSockets { get; init; }

    public override IReadOnlyList<Figure> Headlines => [P50, P99, s_p999, s_max, ProcessorTime, Measuring.Figures.RequestsPerSecond];

    public override IReadOnlyList<Figure> Figures =>
    [
        P50, P90, P99, s_p999, s_max, ProcessorTime, Measuring.Figures.RequestsPerSecond, s_lag, UserTime, SystemTime, ContextSwitches,
        ServerBusy, ClientBusy, OthersBusy, Resident, Allocated,
    ];

    public override bool IsCalibrated => RequestsPerSecond > 0;

    public override bool DiscardsTurns => true;

    public override IReadOnlyList<string> Notes => ShareOfSockets == 0 ? [] :
    [
        string.Create(
            CultureInfo.InvariantCulture,
            $"Asked for {RequestsPerSecond:#,0} requests/s: {100 * ShareOfSockets:0} % of the {_capacity:#,0} that Sockets served in a closed loop"),
    ];

    // The floor answers JSON, too.
    public override bool Includes(Transport transport) => true;

    public override double SecondsOfTurn(double seconds) => LeadIn + seconds;

    public override Scenario Calibrate(ServerProcess sockets, double seconds)
    {
        double capacity = Load(sockets, requestsPerSecond: 0, [LeadIn, LeadIn + seconds]).Groups[0].Phases[1].RequestsPerSecond;
        return this with { RequestsPerSecond = Math.Max(1, Math.Round(ShareOfSockets * capacity)), _capacity = capacity };
    }

    public override Sample Run(ServerProcess server, double seconds)
    {
        ServerCost cost = ServerCost.Begin(server);
        LoadReport report = Load(server, RequestsPerSecond, [LeadIn, LeadIn + seconds]);
        IReadOnlyList<PhaseReport> phases = report.Groups[0].Phases;
        PhaseReport measured = phases[1];
        double busyPercent = 100 * report.ThreadSeconds[1] / measured.Seconds;

        var sample = new Sample { ClientLimit = ClientLimit.Find(measured, busyPercent) };
        long requests = phases.Sum(static p => p.Requests);
        cost.AddTo(sample, requests, Settings.Processors, clientThreads: 1);
        sample[Requests] = requests;
        sample[Measuring.Figures.RequestsPerSecond] = measured.RequestsPerSecond;
        sample[P50] = measured.P50;
        sample[P90] = measured.P90;
        sample[P99] = measured.P99;
        sample[P999] = measured.P999;
        sample[s_max] = measured.Max;
        sample[s_lag] = measured.Sending!.LagP99;
        sample[ClientBusy] = busyPercent;
        return sample;
    }

    // In a closed loop, which compiles the server soonest.
    public override double WarmUp(ServerProcess server, double seconds)
    {
        ServerCost cost = ServerCost.Begin(server);
        LoadReport report = Load(server, requestsPerSecond: 0, [seconds]);
        var sample = new Sample();
        cost.AddTo(sample, report.Groups[0].Phases[0].Requests, Settings.Processors, clientThreads: 1);
        return sample[ProcessorTime];
    }

    // With priority also in the closed loop: what Sockets can serve beside a client that is always punctual.
    private LoadReport Load(ServerProcess server, double requestsPerSecond, IReadOnlyList<double> phaseEnds)
    {
        var group = new LoadGroup("JSON", server.Endpoints.Http, [Exchanges.Json])
        {
            Connections = Connections,
            RequestsPerSecond = requestsPerSecond,
        };
        return OwnClient.Run(new LoadPlan([group], phaseEnds) { HasPriority = true }, Settings.Processors);
    }
}
