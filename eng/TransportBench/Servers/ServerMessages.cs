using System.Text.Json.Serialization;

namespace TransportBench.Servers;

/// <summary>Where a server listens: what it says first.</summary>
/// <param name="Http">The TCP port of HTTP/1.1.</param>
/// <param name="Http2">The TCP port of HTTP/2 without TLS.</param>
/// <param name="Https">The TCP port of HTTP/1.1 and HTTP/2 over TLS.</param>
/// <param name="Raw">The TCP port of the echo without HTTP.</param>
/// <param name="UnixSocket">The path of the unix socket, for HTTP/1.1.</param>
/// <param name="Runtime">What it runs on; null from a build that doesn't say so.</param>
internal sealed record Endpoints(int Http, int Http2, int Https, int Raw, string UnixSocket, string? Runtime = null);

/// <summary>What a server tells about its runtime.</summary>
/// <param name="HeapBytes">The managed heap.</param>
/// <param name="Generation0">Collections since the process began, of generation 0 and above.</param>
/// <param name="Generation1">The same of generation 1 and above.</param>
/// <param name="Generation2">The same of generation 2.</param>
/// <param name="AllocatedBytes">Allocated since the process began.</param>
/// <param name="PoolThreads">Threads of the thread pool.</param>
/// <param name="CompiledMethods">Methods compiled since the process began, each as often as it was.</param>
internal sealed record RuntimeState(
    long HeapBytes, int Generation0, int Generation1, int Generation2, long AllocatedBytes, int PoolThreads, long CompiledMethods);

/// <summary>A server is asked by a line on its standard input, and answers with a line of JSON.</summary>
internal static class ServerCommands
{
    /// <summary>Answered with <see cref="RuntimeState"/>.</summary>
    public const string State = "state";

    /// <summary>Collects everything first, then as <see cref="State"/>.</summary>
    public const string Collect = "collect";
}

[JsonSerializable(typeof(Endpoints))]
[JsonSerializable(typeof(RuntimeState))]
internal sealed partial class ServerJsonContext : JsonSerializerContext;
