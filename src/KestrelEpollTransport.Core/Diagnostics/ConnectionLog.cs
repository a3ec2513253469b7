using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>
/// The life of connections, at Debug, with the ids, names and words of the stock Sockets transport: whoever has
/// a filter or a dashboard for those keeps it. The id of a connection is made when it is first read: whoever calls asks first
/// whether the line is seen.
/// </summary>
internal static partial class ConnectionLog
{
    [LoggerMessage(4, LogLevel.Debug, @"Connection id ""{ConnectionId}"" paused.", EventName = "ConnectionPause", SkipEnabledCheck = true)]
    private static partial void Paused(ILogger logger, string connectionId);

    [LoggerMessage(5, LogLevel.Debug, @"Connection id ""{ConnectionId}"" resumed.", EventName = "ConnectionResume", SkipEnabledCheck = true)]
    private static partial void Resumed(ILogger logger, string connectionId);

    [LoggerMessage(6, LogLevel.Debug, @"Connection id ""{ConnectionId}"" received FIN.", EventName = "ConnectionReadFin", SkipEnabledCheck = true)]
    public static partial void ReadFin(ILogger logger, string connectionId);

    [LoggerMessage(7, LogLevel.Debug, @"Connection id ""{ConnectionId}"" sending FIN because: ""{Reason}""", EventName = "ConnectionWriteFin", SkipEnabledCheck = true)]
    public static partial void WriteFin(ILogger logger, string connectionId, string reason);

    [LoggerMessage(8, LogLevel.Debug, @"Connection id ""{ConnectionId}"" sending RST because: ""{Reason}""", EventName = "ConnectionWriteRst", SkipEnabledCheck = true)]
    public static partial void WriteRst(ILogger logger, string connectionId, string reason);

    [LoggerMessage(14, LogLevel.Debug, @"Connection id ""{ConnectionId}"" communication error.", EventName = "ConnectionError", SkipEnabledCheck = true)]
    public static partial void Error(ILogger logger, string connectionId, Exception exception);

    [LoggerMessage(19, LogLevel.Debug, @"Connection id ""{ConnectionId}"" reset.", EventName = "ConnectionReset", SkipEnabledCheck = true)]
    private static partial void Reset(ILogger logger, string connectionId);

    [LoggerMessage(0, LogLevel.Error, "Unexpected exception in EpollConnection.CancelConnectionClosedToken.", EventName = "CancelConnectionClosedToken")]
    public static partial void ClosedCallbackFailed(ILogger logger, Exception exception);

    [LoggerMessage(10, LogLevel.Critical, @"Connection id ""{ConnectionId}"": an unexpected exception ended it. Please report it.", EventName = "ConnectionFaulted")]
    public static partial void Faulted(ILogger logger, string connectionId, Exception exception);

    /// <summary>The reader receives no more until the application has read, or goes on.</summary>
    public static void Pause(ILogger logger, ConnectionContext connection, bool isPaused)
    {
        if (isPaused && logger.IsEnabled(LogLevel.Debug))
        {
            Paused(logger, connection.ConnectionId);
        }
        else if (logger.IsEnabled(LogLevel.Debug))
        {
            Resumed(logger, connection.ConnectionId);
        }
    }

    /// <summary>The peer's or the network's end of a connection: a reset is an event of its own.</summary>
    public static void Failed(ILogger logger, string connectionId, Exception exception)
    {
        if (exception is ConnectionResetException)
        {
            Reset(logger, connectionId);
        }
        else
        {
            Error(logger, connectionId, exception);
        }
    }
}
