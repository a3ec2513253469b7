using System.Globalization;
using System.Text.RegularExpressions;
using TransportBench.Processes;

namespace TransportBench.Load;

/// <summary>The line that our script has wrk print at the end, because its own report rounds.</summary>
internal static partial class WrkOutput
{
    /// <summary>The end of every script: one line, times in microseconds.</summary>
    public const string Script = """
        done = function(summary, latency)
          local e = summary.errors
          io.write(string.format("figures requests=%d microseconds=%d bytes=%d errors=%d p50=%d p90=%d p99=%d p999=%d\n",
            summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.status + e.timeout,
            latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9)))
        end

        """;

    /// <exception cref="LoadFailedException">The line isn't there.</exception>
    public static LoadResult Parse(string output)
    {
        Match line = Line().Match(output);
        if (!line.Success)
        {
            throw new LoadFailedException($"wrk printed no figures:\n{output}");
        }

        Dictionary<string, long> values = Pair().Matches(line.Value).ToDictionary(
            static pair => pair.Groups[1].Value,
            static pair => long.Parse(pair.Groups[2].Value, CultureInfo.InvariantCulture));
        double Milliseconds(string name) => values[name] / 1000.0;
        return new LoadResult(
            values["requests"],
            values["microseconds"] / 1e6,
            new Latency(Milliseconds("p50"), Milliseconds("p90"), Milliseconds("p99"), Milliseconds("p999")),
            values["errors"],
            values["bytes"]);
    }

    [GeneratedRegex("^figures .*$", RegexOptions.Multiline)]
    private static partial Regex Line();

    [GeneratedRegex(@"(\w+)=(\d+)")]
    private static partial Regex Pair();
}
