using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>HTTP/1.1 by wrk.</summary>
internal sealed record WrkScenario(string Name, string Title, WrkRequest Request) : LoadScenario(Name, Title)
{
    protected override LoadResult RunLoad(ServerProcess server, double seconds) =>
        Wrk.Run(Request.UsesTls ? server.Endpoints.Https : server.Endpoints.Http, Request, seconds, Settings.Processors);
}
