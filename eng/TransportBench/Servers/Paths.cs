namespace TransportBench.Servers;

/// <summary>The paths of the application. Those with a number take it as ?n=.</summary>
internal static class Paths
{
    public const string Plaintext = "/";
    public const string Json = "/json";
    public const string Upload = "/upload";
    public const string Download = "/download";
    public const string Sleep = "/sleep";
    public const string Burn = "/burn";
    public const string AwaitAndSleep = "/await-and-sleep";
    public const string Delay = "/delay";
    public const string Yield = "/yield";
    public const string Fetch = "/fetch";
    public const string Refuse = "/refuse";
    public const string WebSocket = "/ws";
}
