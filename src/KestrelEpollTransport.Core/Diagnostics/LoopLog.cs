using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>What the loops log: broken invariants only.</summary>
internal static partial class LoopLog
{
    [LoggerMessage(1, LogLevel.Critical, "Event loop {Loop}: an unexpected exception ended one connection or listener. Please report it.", EventName = "LoopFaulted")]
    public static partial void Faulted(ILogger logger, int loop, Exception exception);

    [LoggerMessage(2, LogLevel.Critical, "Event loop {Loop} can't wait any more and ended; its connections are aborted. Please report it.", EventName = "LoopDied")]
    public static partial void Died(ILogger logger, int loop, Exception exception);

    [LoggerMessage(3, LogLevel.Critical, "The watch met an unexpected exception and goes on. Please report it.", EventName = "WatchFaulted")]
    public static partial void WatchFaulted(ILogger logger, Exception exception);
}
