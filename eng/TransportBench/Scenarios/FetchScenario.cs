using System.Text;
using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Servers;
using static TransportBench.Measuring.Figures;

namespace TransportBench.Scenarios;

/// <summary>
/// Handlers that block until another server has answered: synchronous code over asynchronous, on a server whose thread pool has not grown.
/// The other server is one of Sockets, the same for all, in a process of its own.
/// </summary>
/// <param name="Name">As on the command line.</param>
/// <param name="Title">As in tables.</param>
/// <param name="Connections">How many ask at once.</param>
internal sealed record FetchScenario(string Name, string Title, int Connections) : Scenario(Name, Title)
{
    private const double Seconds = 10;

    public override bool NeedsFreshServer => true;

    public override IReadOnlyList<Figure> Headlines => [RequestsPerSecond, P99];

    public override IReadOnlyList<Figure> Figures => [RequestsPerSecond, P99, ProcessorTime, ServerBusy, ClientBusy, OthersBusy, Resident];

    public override double SecondsOfTurn(double seconds) => Seconds;

    public override Sample Run(ServerProcess server, double seconds)
    {
        using ServerProcess other = ServerProcess.Start(Transport.Sockets, Settings);
        byte[] body = Encoding.ASCII.GetBytes(Exchanges.PlaintextBody);
        ServerCost cost = ServerCost.Begin(server);
        LoadResult result = Wrk.Run(server.Endpoints, new WrkRequest($"{Paths.Fetch}?n={other.Endpoints.Http}", Connections, body) { MayStarve = true }, Seconds, Settings.Processors);
        var sample = new Sample();
        cost.AddTo(sample, result.Requests, Settings.Processors, result.ClientThreads);
        sample[RequestsPerSecond] = result.Requests / result.Seconds;
        sample[P99] = result.P99;
        return sample;
    }

    // Without what blocks: that would leave threads behind.
    public override double WarmUp(ServerProcess server, double seconds)
    {
        ServerCost cost = ServerCost.Begin(server);
        LoadResult result = Wrk.Run(
            server.Endpoints, new WrkRequest(Paths.Json, 64, Encoding.ASCII.GetBytes(Exchanges.JsonBody)), seconds, Settings.Processors);
        var sample = new Sample();
        cost.AddTo(sample, result.Requests, Settings.Processors, result.ClientThreads);
        return sample[ProcessorTime];
    }
}
