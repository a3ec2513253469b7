using System.Text.Json;
using TransportBench.Client;
using TransportBench.Processes;

namespace TransportBench.Load;

/// <summary>Load by this program in its role as a client: several kinds of connections at once, and phases.</summary>
internal static class OwnClient
{
    private static readonly TimeSpan s_slack = TimeSpan.FromSeconds(30);

    /// <summary>One group for the whole time.</summary>
    /// <exception cref="LoadFailedException">The client failed, or an answer was wrong.</exception>
    public static LoadResult RunGroup(LoadGroup group, double seconds, Processors processors)
    {
        PhaseReport phase = Run(new LoadPlan([group], [seconds]), processors).Groups[0].Phases[0];
        return new LoadResult(
            phase.Requests, phase.Seconds, new Latency(phase.P50, phase.P90, phase.P99, phase.P999), phase.Errors, Bytes: 0);
    }

    /// <exception cref="LoadFailedException">The client failed, or an answer was wrong.</exception>
    public static LoadReport Run(LoadPlan plan, Processors processors)
    {
        string output = ChildProcess.Run(
            [.. Programs.Self, "--role", "client"],
            processors.Load,
            TimeSpan.FromSeconds(plan.PhaseEnds[^1]) + s_slack,
            JsonSerializer.Serialize(plan, ClientJsonContext.Default.LoadPlan));
        LoadReport report = JsonSerializer.Deserialize(output, ClientJsonContext.Default.LoadReport)!;
        GroupReport? failed = report.Groups.FirstOrDefault(static g => g.Errors > 0);
        return failed is null
            ? report
            : throw new LoadFailedException($"{failed.Errors} errors of {failed.Name}, the first one: {failed.FirstError}");
    }
}
