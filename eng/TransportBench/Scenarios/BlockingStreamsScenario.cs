using System.Text;
using TransportBench.Client;
using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Servers;
using static TransportBench.Measuring.Figures;

namespace TransportBench.Scenarios;

/// <summary>Cheap requests first alone, then beside HTTP/2 streams whose handlers block.</summary>
/// <param name="Name">As on the command line.</param>
/// <param name="Title">As in tables.</param>
/// <param name="IsCheapHttp2">Whether the cheap requests are streams of HTTP/2, too; else they are HTTP/1.1.</param>
internal sealed record BlockingStreamsScenario(string Name, string Title, bool IsCheapHttp2) : Scenario(Name, Title)
{
    private const int CheapConnections = 32;
    private const int BlockingConnections = 10;
    private const int BlockingStreams = 10;
    private const int SleepMs = 50;

    private static readonly Figure s_share = new("share", "cheap, % of alone", Better.Higher);
    private static readonly Figure s_blocking = new("disturbing-rps", "blocking/s", Better.Higher);
    private static readonly Figure s_alone = new("alone-rps", "cheap/s alone", Better.Higher) { IsDetail = true };
    private static readonly Figure s_cheap = new("cheap-rps", "cheap/s", Better.Higher);
    private static readonly Figure s_cheapP99 = new("cheap-p99-ms", "cheap: p99 ms", Better.Lower);

    private static readonly H2loadRequest s_sleeping = new(
        $"{Paths.Sleep}?n={SleepMs}", BlockingConnections, BlockingStreams, Encoding.ASCII.GetBytes(Exchanges.PlaintextBody))
    {
        MayStarve = true,
    };

    private static readonly H2loadRequest s_cheapStreams = new(
        Paths.Json, CheapConnections, Streams: 1, Encoding.ASCII.GetBytes(Exchanges.JsonBody))
    {
        MayStarve = true,
    };

    public override bool NeedsFreshServer => true;

    public override IReadOnlyList<Figure> Headlines => [s_share, s_blocking];

    public override IReadOnlyList<Figure> Figures => [s_share, s_blocking, s_cheap, s_alone, s_cheapP99, ServerBusy, ClientBusy, OthersBusy, Resident];

    public override double SecondsOfTurn(double seconds) => 2 * seconds;

    public override Sample Run(ServerProcess server, double seconds)
    {
        ServerCost cost = ServerCost.Begin(server);
        LoadResult alone = RunCheap(server, seconds);
        using H2load.Running blocking = H2load.Start(server.Endpoints, s_sleeping, seconds, Settings.Processors);
        LoadResult beside = RunCheap(server, seconds);
        LoadResult blocked = blocking.End();

        var sample = new Sample();
        cost.AddTo(sample, alone.Requests + beside.Requests, Settings.Processors, clientThreads: 1);
        sample[s_alone] = alone.Requests / alone.Seconds;
        sample[s_cheap] = beside.Requests / beside.Seconds;
        sample[s_share] = 100 * sample[s_cheap] / sample[s_alone];
        sample[s_cheapP99] = beside.P99;
        sample[s_blocking] = blocked.Requests / blocked.Seconds;
        return sample;
    }

    // Without what blocks: that would leave threads behind.
    public override double WarmUp(ServerProcess server, double seconds)
    {
        ServerCost cost = ServerCost.Begin(server);
        LoadResult cheap = RunCheap(server, seconds);
        using H2load.Running calm = H2load.Start(server.Endpoints, s_sleeping with { Connections = 1, Streams = 1 }, 1, Settings.Processors);
        calm.End();
        var sample = new Sample();
        cost.AddTo(sample, cheap.Requests, Settings.Processors, clientThreads: 1);
        return sample[ProcessorTime];
    }

    private LoadResult RunCheap(ServerProcess server, double seconds)
    {
        if (IsCheapHttp2)
        {
            return H2load.Run(server.Endpoints, s_cheapStreams, seconds, Settings.Processors);
        }

        var group = new LoadGroup("cheap", server.Endpoints.Http, [Exchanges.Json]) { Connections = CheapConnections };
        PhaseReport phase = OwnClient.Run(new LoadPlan([group], [seconds]), Settings.Processors).Groups[0].Phases[0];
        return new LoadResult(phase.Requests, phase.Seconds, new Latency(phase.P50, phase.P90, phase.P99, phase.P999), phase.Errors, Bytes: 0);
    }
}
