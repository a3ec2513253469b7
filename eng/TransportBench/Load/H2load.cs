using System.Globalization;
using TransportBench.Processes;

namespace TransportBench.Load;

/// <summary>What h2load is to ask for.</summary>
/// <param name="Path">The path and query.</param>
/// <param name="Connections">How many at once.</param>
/// <param name="Streams">Requests at once on each connection.</param>
internal sealed record H2loadRequest(string Path, int Connections, int Streams)
{
    /// <summary>Bytes of the body that is expected.</summary>
    public int BodyBytes { get; init; }

    public bool UsesTls { get; init; }

    /// <summary>Whether with HTTP/1.1, over the unix socket instead of TCP.</summary>
    public bool UsesUnixSocket { get; init; }
}

/// <summary>Load by h2load: HTTP/2, and what else wrk can't speak.</summary>
internal static class H2load
{
    private static readonly TimeSpan s_slack = TimeSpan.FromSeconds(30);

    /// <exception cref="LoadFailedException">h2load failed, or an answer was wrong.</exception>
    public static LoadResult Run(Servers.Endpoints endpoints, H2loadRequest request, double seconds, Processors processors)
    {
        string log = WorkFolder.NewPath("log");
        try
        {
            string output = ChildProcess.Run(
                [
                    "h2load",
                    "--threads=1",
                    $"--clients={request.Connections}",
                    $"--max-concurrent-streams={request.Streams}",
                    $"--duration={Math.Max(1, Math.Round(seconds)).ToString("0", CultureInfo.InvariantCulture)}",
                    $"--log-file={log}",
                    .. Address(endpoints, request),
                ],
                processors.Load,
                TimeSpan.FromSeconds(seconds) + s_slack);
            return Check(H2loadOutput.Parse(output, File.ReadLines(log)), request, output);
        }
        finally
        {
            File.Delete(log);
        }
    }

    private static string[] Address(Servers.Endpoints endpoints, H2loadRequest request) => request switch
    {
        { UsesUnixSocket: true } => ["--h1", $"--base-uri=unix:{endpoints.UnixSocket}", $"http://localhost{request.Path}"],
        { UsesTls: true } => [$"https://127.0.0.1:{endpoints.Https}{request.Path}"],
        _ => [$"http://127.0.0.1:{endpoints.Http2}{request.Path}"],
    };

    // The last bodies may be cut off when the time is over.
    private static LoadResult Check(LoadResult result, H2loadRequest request, string output)
    {
        long most = (result.Requests + ((long)request.Connections * request.Streams)) * request.BodyBytes;
        bool isRight = result.Errors == 0 && result.Requests > 0
            && result.Bytes >= result.Requests * request.BodyBytes && result.Bytes <= most;
        return isRight ? result : throw new LoadFailedException($"h2load found errors, or bodies of a wrong length:\n{output}");
    }
}
