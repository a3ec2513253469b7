using System.Globalization;
using TransportBench.Processes;

namespace TransportBench.Load;

/// <summary>What h2load is to ask for.</summary>
/// <param name="Path">The path and query.</param>
/// <param name="Connections">How many at once.</param>
/// <param name="Streams">Requests at once on each connection.</param>
/// <param name="Body">The body that is expected.</param>
internal sealed record H2loadRequest(string Path, int Connections, int Streams, byte[] Body)
{
    public bool UsesTls { get; init; }

    /// <inheritdoc cref="WrkRequest.MayStarve"/>
    public bool MayStarve { get; init; }

    /// <summary>Whether with HTTP/1.1, over the unix socket instead of TCP.</summary>
    public bool UsesUnixSocket { get; init; }

    public Uri AddressOn(Servers.Endpoints endpoints) => this switch
    {
        { UsesUnixSocket: true } => new Uri($"http://localhost{Path}"),
        { UsesTls: true } => new Uri($"https://127.0.0.1:{endpoints.Https}{Path}"),
        _ => new Uri($"http://127.0.0.1:{endpoints.Http2}{Path}"),
    };
}

/// <summary>Load by h2load: HTTP/2, and what else wrk can't speak.</summary>
internal static class H2load
{
    private static readonly TimeSpan s_slack = TimeSpan.FromSeconds(30);

    /// <exception cref="LoadFailedException">h2load failed, or an answer was wrong.</exception>
    public static LoadResult Run(Servers.Endpoints endpoints, H2loadRequest request, double seconds, Processors processors)
    {
        using Running load = Start(endpoints, request, seconds, processors);
        return load.End();
    }

    /// <summary>The same, in the background until <see cref="Running.End"/>.</summary>
    public static Running Start(Servers.Endpoints endpoints, H2loadRequest request, double seconds, Processors processors)
    {
        string log = WorkFolder.NewPath("log");
        ChildProcess process = ChildProcess.Start(
            [
                "h2load",
                "--threads=1",
                $"--clients={request.Connections}",
                $"--max-concurrent-streams={request.Streams}",
                $"--duration={Math.Max(1, Math.Round(seconds)).ToString("0", CultureInfo.InvariantCulture)}",
                $"--log-file={log}",
                .. request.UsesUnixSocket ? (string[])["--h1", $"--base-uri=unix:{endpoints.UnixSocket}"] : [],
                request.AddressOn(endpoints).ToString(),
            ],
            processors.Load);
        return new Running(process, request, log, TimeSpan.FromSeconds(seconds) + s_slack);
    }

    /// <summary>A load that has begun.</summary>
    internal sealed class Running(ChildProcess process, H2loadRequest request, string log, TimeSpan limit) : IDisposable
    {
        /// <summary>Waits for the end.</summary>
        /// <exception cref="LoadFailedException">h2load failed, or an answer was wrong.</exception>
        public LoadResult End()
        {
            string output = process.ReadToEnd(limit);
            return Check(H2loadOutput.Parse(output, File.ReadLines(log)), request, output);
        }

        public void Dispose()
        {
            process.Dispose();
            File.Delete(log);
        }
    }

    // The last bodies may be cut off when the time is over.
    private static LoadResult Check(LoadResult result, H2loadRequest request, string output)
    {
        long most = (result.Requests + ((long)request.Connections * request.Streams)) * request.Body.Length;
        string? wrong = result switch
        {
            { Errors: > 0 } => "found errors",
            { Requests: 0 } when !request.MayStarve => "was never answered",
            _ when result.Bytes < result.Requests * request.Body.Length || result.Bytes > most => "was given bodies of a wrong length",
            _ => null,
        };
        return wrong is null ? result : throw new LoadFailedException($"h2load {wrong}:\n{output}");
    }
}
