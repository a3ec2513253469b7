using TransportBench.Client;
using TransportBench.Load;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>
/// JSON by our own client, which sends a PROXY protocol header in front of each connection's first request where the server takes one: what that
/// costs, against the same transport without.
/// </summary>
/// <param name="Name">As on the command line.</param>
/// <param name="Title">As in tables.</param>
/// <param name="Reconnects">Whether each request has a connection, and so a header, of its own.</param>
internal sealed record ProxyProtocolScenario(string Name, string Title, bool Reconnects) : LoadScenario(Name, Title)
{
    public override bool Includes(Transport transport) =>
        transport == Transport.Sockets || transport == Transport.Control || transport == Transport.Epoll || transport == Transport.EpollProxy;

    protected override LoadResult RunLoad(ServerProcess server, double seconds)
    {
        var group = new LoadGroup("JSON", server.Endpoints.Http, [Exchanges.Json])
        {
            Connections = 64,
            Reconnects = Reconnects,
            Preface = server.Transport == Transport.EpollProxy ? Exchanges.ProxyHeader : [],
        };
        return OwnClient.RunGroup(group, seconds, Settings.Processors);
    }
}
