using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Processes;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>What a connection that does nothing takes: the server's memory with very many of them, less that without.</summary>
/// <param name="Name">As on the command line.</param>
/// <param name="Title">As in tables.</param>
/// <param name="IsRaw">Whether they are connections without HTTP that never send; otherwise each has asked once.</param>
internal sealed record IdleMemoryScenario(string Name, string Title, bool IsRaw) : Scenario(Name, Title)
{
    /// <summary>The managed heap after a full collection, a connection.</summary>
    public static readonly Figure HeapOfConnection = new("idle-heap-bytes", "heap B a connection", Better.Lower);

    /// <summary>Resident memory of the process, a connection.</summary>
    public static readonly Figure ResidentOfConnection = new("idle-rss-bytes", "RSS B a connection", Better.Lower);

    private const int IdleCount = 15_000;

    // Enough that what grows by steps, tables and pools, is there before counting begins.
    private const int WarmUpCount = 500;

    public override IReadOnlyList<Figure> Figures => [HeapOfConnection, ResidentOfConnection];

    public override IReadOnlyList<Figure> Headlines => Figures;

    public override bool NeedsFreshServer => true;

    public override int RoundsOf(int asked) => Math.Min(asked, 3);

    public override double SecondsOfTurn(double seconds) => 10;

    public override Sample Run(ServerProcess server, double seconds)
    {
        int count = IdleConnections.AtMost(IdleCount);
        int port = IsRaw ? server.Endpoints.Raw : server.Endpoints.Http;
        long heapBefore = server.CollectAndGetState().HeapBytes;
        long residentBefore = ProcessFiles.GetResidentBytes(server.Id);
        using var idle = IdleConnections.Open(port, count, asks: !IsRaw);
        long heap = server.CollectAndGetState().HeapBytes - heapBefore;
        long resident = ProcessFiles.GetResidentBytes(server.Id) - residentBefore;

        var sample = new Sample();
        sample[HeapOfConnection] = heap / (double)count;
        sample[ResidentOfConnection] = resident / (double)count;
        return sample;
    }

    public override double WarmUp(ServerProcess server, double seconds)
    {
        using var idle = IdleConnections.Open(IsRaw ? server.Endpoints.Raw : server.Endpoints.Http, WarmUpCount, asks: !IsRaw);
        Thread.Sleep(TimeSpan.FromSeconds(seconds));
        return 1;
    }
}
