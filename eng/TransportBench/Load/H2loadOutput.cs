using System.Globalization;
using System.Text.RegularExpressions;
using TransportBench.Processes;

namespace TransportBench.Load;

/// <summary>What h2load prints, and the log that it writes of each request.</summary>
internal static partial class H2loadOutput
{
    /// <param name="output">Its standard output.</param>
    /// <param name="log">The lines of its log: when a request began, its status and its microseconds.</param>
    /// <exception cref="LoadFailedException">It isn't a report.</exception>
    public static LoadResult Parse(string output, IEnumerable<string> log)
    {
        Match rate = Rate().Match(output);
        Match counts = Counts().Match(output);
        Match statuses = Statuses().Match(output);
        Match traffic = Traffic().Match(output);
        if (!rate.Success || !counts.Success || !statuses.Success || !traffic.Success)
        {
            throw new LoadFailedException($"h2load printed no report:\n{output}");
        }

        long requests = Number(counts, 1);
        long errors = Number(counts, 2) + Number(counts, 3) + Number(counts, 4)
            + Number(statuses, 2) + Number(statuses, 3) + Number(statuses, 4);
        double perSecond = double.Parse(rate.Groups[2].Value, CultureInfo.InvariantCulture);
        double seconds = requests > 0 ? requests / Math.Max(perSecond, 1) : double.Parse(rate.Groups[1].Value, CultureInfo.InvariantCulture);
        return new LoadResult(requests, seconds, ToLatency(log), errors, Number(traffic, 1));
    }

    private static Latency ToLatency(IEnumerable<string> log)
    {
        long[] times = [.. log.Select(static line => long.Parse(line.AsSpan(line.LastIndexOf('\t') + 1), CultureInfo.InvariantCulture)).Order()];
        double Milliseconds(double share) => times.Length == 0 ? 0 : times[(int)(share * (times.Length - 1))] / 1000.0;
        return new Latency(Milliseconds(0.5), Milliseconds(0.9), Milliseconds(0.99), Milliseconds(0.999));
    }

    private static long Number(Match match, int group) => long.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^finished in ([\d.]+)[a-z]*, ([\d.]+) req/s", RegexOptions.Multiline)]
    private static partial Regex Rate();

    [GeneratedRegex(@"^requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", RegexOptions.Multiline)]
    private static partial Regex Counts();

    [GeneratedRegex(@"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", RegexOptions.Multiline)]
    private static partial Regex Statuses();

    // Bodies only: what all answers have in common.
    [GeneratedRegex(@"^traffic: .*\((\d+)\) data", RegexOptions.Multiline)]
    private static partial Regex Traffic();
}
