using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>What adaptive scheduling logs. The warning is rate-limited by its caller.</summary>
internal static partial class SchedulingLog
{
    [LoggerMessage(30, LogLevel.Debug, @"Event loop {Loop} was blocked for {BlockedMs:F1} ms by connection id ""{ConnectionId}"" of {EndPoint}; another thread has taken the loop over.", EventName = "LoopHandedOff", SkipEnabledCheck = true)]
    private static partial void HandedOffCore(ILogger logger, int loop, double blockedMs, string connectionId, EndPoint? endPoint);

    [LoggerMessage(31, LogLevel.Warning, "All {MaxWorkers} workers (option MaxWorkers) are busy with application code that blocks; more of it waits until some return, or for one more thread each 100 ms.", EventName = "WorkersRanOut")]
    public static partial void WorkersRanOut(ILogger logger, int maxWorkers);

    [LoggerMessage(32, LogLevel.Debug, "Event loop {Loop} was blocked for {BlockedMs:F1} ms by the transport's own work or a logger; another thread has taken the loop over.", EventName = "LoopHandedOffByItself")]
    private static partial void HandedOffByItself(ILogger logger, int loop, double blockedMs);

    // The id of a connection is made when it is first read: not for a line that nobody sees.
    public static void HandedOff(ILogger logger, int loop, TimeSpan blocked, ConnectionContext? connection)
    {
        if (connection is null)
        {
            HandedOffByItself(logger, loop, blocked.TotalMilliseconds);
        }
        else if (logger.IsEnabled(LogLevel.Debug))
        {
            HandedOffCore(logger, loop, blocked.TotalMilliseconds, connection.ConnectionId, connection.LocalEndPoint);
        }
    }
}
