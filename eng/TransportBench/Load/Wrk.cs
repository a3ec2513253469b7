using System.Globalization;
using TransportBench.Processes;

namespace TransportBench.Load;

/// <summary>What wrk is to ask for.</summary>
/// <param name="Path">The path and query.</param>
/// <param name="Connections">How many at once.</param>
/// <param name="Body">The body that is expected.</param>
internal sealed record WrkRequest(string Path, int Connections, byte[] Body)
{
    /// <summary>How many requests are sent at once on each connection.</summary>
    public int Depth { get; init; } = 1;

    /// <summary>Every so many requests one asks that its connection be closed; 0: none does.</summary>
    public int CloseEvery { get; init; }

    /// <summary>Bytes that are sent with POST; 0: GET.</summary>
    public int UploadBytes { get; init; }

    public bool UsesTls { get; init; }

    /// <summary>Whether no answer at all is a result: of a server that is out of threads.</summary>
    public bool MayStarve { get; init; }

    public Uri AddressOn(Servers.Endpoints endpoints) => UsesTls
        ? new Uri($"https://127.0.0.1:{endpoints.Https}{Path}")
        : new Uri($"http://127.0.0.1:{endpoints.Http}{Path}");
}

/// <summary>Load by wrk: HTTP/1.1 over TCP, each connection waiting for its answer.</summary>
internal static class Wrk
{
    // An answer's headers are shorter.
    private const int MostHeaderBytes = 512;
    private const int TimeoutSeconds = 30;

    /// <param name="endpoints">Where the server listens.</param>
    /// <param name="request">What is asked.</param>
    /// <param name="seconds">How long.</param>
    /// <param name="processors">Where it runs.</param>
    /// <exception cref="LoadFailedException">wrk failed, or an answer was wrong.</exception>
    public static LoadResult Run(Servers.Endpoints endpoints, WrkRequest request, double seconds, Processors processors)
    {
        int threads = Math.Min(Threads(processors), request.Connections);
        string script = WorkFolder.NewPath("lua");
        File.WriteAllText(script, WrkOutput.Script + RequestScript(request));
        string output = ChildProcess.Run(
            [
                "wrk",
                "--threads", Text(threads),
                "--connections", Text(request.Connections),
                "--duration", $"{Math.Max(1, Math.Round(seconds)):0}s",
                "--timeout", $"{TimeoutSeconds}s",
                "--script", script,
                request.AddressOn(endpoints).ToString(),
            ],
            processors.Load,
            TimeSpan.FromSeconds(seconds + (2 * TimeoutSeconds)));
        LoadResult result = Check(WrkOutput.Parse(output), request, output) with { ClientThreads = threads };

        // wrk corrects its latencies by how often a connection should have been asked, and counts each of a pipeline for that.
        return request.Depth > 1 ? result with { Latency = null } : result;
    }

    /// <summary>The lua that makes the requests; empty if wrk's own will do.</summary>
    internal static string RequestScript(WrkRequest request)
    {
        if (request.Depth > 1)
        {
            return $$"""
                init = function()
                  all = string.rep(wrk.format(), {{request.Depth}})
                end
                request = function()
                  return all
                end
                """;
        }

        if (request.CloseEvery > 0)
        {
            return $$"""
                local sent = 0
                init = function()
                  plain = wrk.format()
                  closing = wrk.format(nil, nil, { ["Connection"] = "close" })
                end
                request = function()
                  sent = sent + 1
                  return sent % {{request.CloseEvery}} == 0 and closing or plain
                end
                """;
        }

        return request.UploadBytes > 0
            ? $"""
                wrk.method = "POST"
                wrk.body = string.rep("x", {request.UploadBytes})
                """
            : "";
    }

    // wrk looks at the status of an answer and not at its body, so at least the length has to be right.
    private static LoadResult Check(LoadResult result, WrkRequest request, string output)
    {
        long longestAnswer = request.Body.Length + MostHeaderBytes;
        long most = (result.Requests + ((long)request.Connections * request.Depth)) * longestAnswer;
        string? wrong = result switch
        {
            { Errors: > 0 } => "found errors",
            { Requests: 0 } when !request.MayStarve => "was never answered",
            _ when result.Bytes < result.Requests * request.Body.Length || result.Bytes > most => "was given answers of a wrong length",
            _ => null,
        };
        return wrong is null ? result : throw new LoadFailedException($"wrk {wrong}:\n{output}");
    }

    // Where the server runs on the same processors, half of them are its.
    private static int Threads(Processors processors) =>
        processors == Processors.Shared ? Math.Max(1, processors.Load.Count / 2) : processors.Load.Count;

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
