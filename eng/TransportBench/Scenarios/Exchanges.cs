using System.Text;
using TransportBench.Client;
using TransportBench.Servers;

namespace TransportBench.Scenarios;

/// <summary>The requests of the scenarios, and what answers them.</summary>
internal static class Exchanges
{
    public const string PlaintextBody = "Hello, World!";
    public const string JsonBody = """{"message":"Hello, World!"}""";

    private const byte FinalBinaryFrame = 0x82;
    private const byte Masked = 0x80;

    private static readonly byte[] s_message = "thirty-two bytes that are echoed"u8.ToArray();

    // Once, so that all transports are given the same work.
    private static readonly Lazy<int> s_unitsOfMillisecond = new(static () => ProcessorWork.UnitsFor(TimeSpan.FromMilliseconds(1)));

    // Chunked: Kestrel does so where the handler names no length.
    public static Exchange Json { get; } = Exchange.Get(Paths.Json, $"{JsonBody}\r\n0\r\n\r\n");

    /// <summary>Bytes that come back as they are.</summary>
    public static Exchange Echo { get; } = new(s_message, s_message, s_message);

    /// <summary>The upgrade to a WebSocket, RFC 6455 section 1.3.</summary>
    public static Exchange Upgrade { get; } = new(
        Encoding.ASCII.GetBytes(
            $"GET {Paths.WebSocket} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"),
        "HTTP/1.1 101 Switching Protocols\r\n"u8.ToArray(),
        "\r\n\r\n"u8.ToArray());

    /// <summary>A binary message and its echo. The mask is all zeros, so the payload looks the same both ways.</summary>
    public static Exchange WebSocketEcho { get; } = new(
        [FinalBinaryFrame, (byte)(Masked | s_message.Length), 0, 0, 0, 0, .. s_message],
        [FinalBinaryFrame, (byte)s_message.Length],
        s_message);

    /// <summary>A header of the PROXY protocol, version 2: a proxy of 192.0.2.1:56324, who connected to 192.0.2.2:443.</summary>
    public static byte[] ProxyHeader { get; } =
        [.. "\r\n\r\n\0\r\nQUIT\n"u8, 0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 56324 >> 8, 56324 & 0xFF, 443 >> 8, 443 & 0xFF];

    /// <summary>A refusal by itself.</summary>
    public static Exchange Refusal { get; } = OrRefused(Exchange.Get(Paths.Refuse, PlaintextBody));

    /// <summary>Blocks its thread for so many milliseconds.</summary>
    public static Exchange Sleep(int milliseconds) => Exchange.Get($"{Paths.Sleep}?n={milliseconds}", PlaintextBody);

    /// <summary>The same behind an await.</summary>
    public static Exchange AwaitAndSleep(int milliseconds) => Exchange.Get($"{Paths.AwaitAndSleep}?n={milliseconds}", PlaintextBody);

    /// <summary>Keeps a processor busy for about so many milliseconds.</summary>
    public static Exchange Burn(int milliseconds) => Exchange.Get(BurnPath(1_000 * milliseconds), PlaintextBody);

    /// <summary>The same, where a refusal is an answer.</summary>
    public static Exchange OrRefused(Exchange exchange) => exchange with { RefusalStart = "HTTP/1.1 503 "u8.ToArray() };

    /// <summary>What keeps a processor busy for about so many microseconds.</summary>
    public static string BurnPath(int microseconds) => $"{Paths.Burn}?n={Math.Max(1, microseconds * s_unitsOfMillisecond.Value / 1_000)}";
}
