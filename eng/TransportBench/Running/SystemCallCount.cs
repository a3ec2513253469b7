using TransportBench.Measuring;
using TransportBench.Scenarios;
using TransportBench.Servers;

namespace TransportBench.Running;

/// <summary>A turn whose system calls are counted. Its other figures are no good: being traced is slow.</summary>
internal static class SystemCallCount
{
    /// <summary>What it takes, about.</summary>
    public const double Seconds = 4;

    private const double LoadSeconds = 2;

    // What happens once in a thousand requests is not what a request costs.
    private const double Least = 0.001;

    /// <summary>Calls a request, by name, most frequent first.</summary>
    public static IReadOnlyDictionary<string, double> Take(Scenario scenario, ServerProcess server)
    {
        using var trace = new SystemCallTrace(server.Id);
        double requests = scenario.Run(server, LoadSeconds)[Figures.Requests];
        return trace.Stop()
            .Select(call => KeyValuePair.Create(call.Key, call.Value / requests))
            .Where(static call => call.Value >= Least)
            .OrderByDescending(static call => call.Value)
            .ToDictionary();
    }
}
