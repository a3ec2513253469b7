using TransportBench.Load;
using TransportBench.Measuring;
using TransportBench.Servers;
using static TransportBench.Measuring.Figures;

namespace TransportBench.Scenarios;

/// <summary>One kind of load for the whole turn.</summary>
internal abstract record LoadScenario(string Name, string Title) : Scenario(Name, Title)
{
    /// <summary>Whether the time of a request is what is compared, and not what it costs.</summary>
    public bool IsAboutLatency { get; init; }

    public override IReadOnlyList<Figure> Headlines => IsAboutLatency ? [P50, P99] : [ProcessorTime, RequestsPerSecond];

    public override IReadOnlyList<Figure> Figures =>
    [
        ProcessorTime, RequestsPerSecond, P50, P90, P99, P999, UserTime, SystemTime, ContextSwitches, ServerBusy, ClientBusy, OthersBusy,
        Resident, Heap, Allocated, Generation0, Generation1, Generation2,
    ];

    public override Sample Run(ServerProcess server, double seconds)
    {
        Check(server);
        ServerCost cost = ServerCost.Begin(server);
        LoadResult result = RunLoad(server, seconds);
        var sample = new Sample();
        cost.AddTo(sample, result.Requests, Settings.Processors, result.ClientThreads);
        sample[Requests] = result.Requests;
        sample[RequestsPerSecond] = result.Requests / result.Seconds;
        if (result.Latency is { } latency)
        {
            sample[P50] = latency.P50;
            sample[P90] = latency.P90;
            sample[P99] = latency.P99;
            sample[P999] = latency.P999;
        }

        return sample;
    }

    /// <summary>Asks once, and compares the answer with what it has to be; not needed where the load itself does.</summary>
    /// <exception cref="Processes.LoadFailedException">It is another one.</exception>
    protected virtual void Check(ServerProcess server)
    {
    }

    protected abstract LoadResult RunLoad(ServerProcess server, double seconds);
}
