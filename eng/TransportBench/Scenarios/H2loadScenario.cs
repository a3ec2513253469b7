using System.Net;
using TransportBench.Load;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>HTTP/2, and HTTP/1.1 over a unix socket, by h2load.</summary>
internal sealed record H2loadScenario(string Name, string Title, H2loadRequest Request) : LoadScenario(Name, Title)
{
    protected override void Check(ServerProcess server) => new Probe(Request.AddressOn(server.Endpoints), Request.Body)
    {
        Version = Request.UsesUnixSocket ? HttpVersion.Version11 : HttpVersion.Version20,
        UnixSocket = Request.UsesUnixSocket ? server.Endpoints.UnixSocket : "",
    }.Check();

    protected override LoadResult RunLoad(ServerProcess server, double seconds) =>
        H2load.Run(server.Endpoints, Request, seconds, Settings.Processors);
}
