using TransportBench.Client;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>The requests of the scenarios, and what answers them.</summary>
internal static class Exchanges
{
    public const string PlaintextBody = "Hello, World!";
    public const string JsonBody = """{"message":"Hello, World!"}""";

    // Chunked: Kestrel does so where the handler names no length.
    public static Exchange Json { get; } = Exchange.Get(Paths.Json, $"{JsonBody}\r\n0\r\n\r\n");

    /// <summary>Blocks its thread for so many milliseconds.</summary>
    public static Exchange Sleep(int milliseconds) => Exchange.Get($"{Paths.Sleep}?n={milliseconds}", PlaintextBody);

    /// <summary>Keeps a processor busy for about so many milliseconds.</summary>
    public static Exchange Burn(int milliseconds) =>
        Exchange.Get($"{Paths.Burn}?n={ProcessorWork.UnitsFor(TimeSpan.FromMilliseconds(milliseconds))}", PlaintextBody);
}
