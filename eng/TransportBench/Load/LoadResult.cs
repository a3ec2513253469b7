namespace TransportBench.Load;

/// <summary>Percentiles of the time from a request to the end of its answer, in milliseconds.</summary>
internal readonly record struct Latency(double P50, double P90, double P99, double P999);

/// <summary>What a load generator reports of one turn.</summary>
/// <param name="Requests">That were answered, and rightly.</param>
/// <param name="Seconds">That it took.</param>
/// <param name="Latency">Of one request; null if the generator can't tell.</param>
/// <param name="Errors">Failed connections, wrong answers, HTTP errors and answers that didn't come.</param>
/// <param name="Bytes">That were received, with headers; 0 if unknown.</param>
internal sealed record LoadResult(long Requests, double Seconds, Latency? Latency, long Errors, long Bytes)
{
    /// <summary>The 99th percentile in milliseconds; where nothing was answered, all the time there was.</summary>
    public double P99 => Requests > 0 ? Latency!.Value.P99 : 1_000 * Seconds;

    /// <summary>Threads of the generator.</summary>
    public int ClientThreads { get; init; } = 1;
}
