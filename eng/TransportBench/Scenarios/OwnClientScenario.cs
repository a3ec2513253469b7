using TransportBench.Client;
using TransportBench.Load;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>What neither wrk nor h2load speaks, by our own client.</summary>
/// <param name="Name">As on the command line.</param>
/// <param name="Title">As in tables.</param>
/// <param name="Group">Makes the connections, given where the server listens.</param>
internal sealed record OwnClientScenario(string Name, string Title, Func<Endpoints, LoadGroup> Group) : LoadScenario(Name, Title)
{
    protected override LoadResult RunLoad(ServerProcess server, double seconds)
    {
        LoadReport report = OwnClient.Run(new LoadPlan([Group(server.Endpoints)], [seconds]), Settings.Processors);
        PhaseReport phase = report.Groups[0].Phases[0];
        return new LoadResult(
            phase.Requests, phase.Seconds, new Latency(phase.P50, phase.P90, phase.P99, phase.P999), phase.Errors, Bytes: 0);
    }
}
