using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.LoadShedding;

/// <summary>What load shedding logs. The warning is rate-limited by its caller.</summary>
internal static partial class LoadSheddingLog
{
    public const string Category = "KestrelEpollTransport.LoadShedding";

    [LoggerMessage(80, LogLevel.Warning, "Overloaded ({Queue}): for {IntervalMs:F0} ms the queue has not been shorter than {TargetMs:F1} ms; the last request has waited {WaitedMs:F1} ms. Those that wait longest are answered 503 until it has drained.", EventName = "OverloadBegan")]
    public static partial void Began(ILogger logger, string queue, double intervalMs, double targetMs, double waitedMs);

    [LoggerMessage(81, LogLevel.Debug, "No longer overloaded ({Queue}). {Refused} requests were answered 503.", EventName = "OverloadEnded")]
    public static partial void Ended(ILogger logger, string queue, long refused);
}
