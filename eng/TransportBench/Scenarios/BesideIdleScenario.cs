using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>Busy connections beside very many that were busy once.</summary>
/// <param name="Name">As on the command line.</param>
/// <param name="Title">As in tables.</param>
/// <param name="IdleCount">How many are idle.</param>
/// <param name="Request">What the busy ones ask.</param>
internal sealed record BesideIdleScenario(string Name, string Title, int IdleCount, WrkRequest Request) : LoadScenario(Name, Title)
{
    private const double SecondsToOpen = 8;

    public override double SecondsOfTurn(double seconds) => seconds + SecondsToOpen;

    // Opening them is not part of the cost.
    public override Sample Run(ServerProcess server, double seconds)
    {
        using var idle = IdleConnections.Open(server.Endpoints.Http, IdleConnections.AtMost(IdleCount), asks: true);
        return base.Run(server, seconds);
    }

    public override double WarmUp(ServerProcess server, double seconds) => base.Run(server, seconds)[Measuring.Figures.ProcessorTime];

    protected override LoadResult RunLoad(ServerProcess server, double seconds) =>
        Wrk.Run(server.Endpoints, Request, seconds, Settings.Processors);
}
