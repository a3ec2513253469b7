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
    protected override LoadResult RunLoad(ServerProcess server, double seconds) =>
        OwnClient.RunGroup(Group(server.Endpoints), seconds, Settings.Processors);
}
