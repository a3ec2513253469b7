using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>
/// The life of connections, at Debug, with the ids, names and words of the stock Sockets transport: whoever has
/// a filter or a dashboard for those keeps it.
/// </summary>
internal static partial class ConnectionLog
{
    [LoggerMessage(4, LogLevel.Debug, @"Connection id ""{ConnectionId}"" paused.", EventName = "ConnectionPause", SkipEnabledCheck = true)]
    private static partial void PauseCore(ILogger logger, string connectionId);

    [LoggerMessage(5, LogLevel.Debug, @"Connection id ""{ConnectionId}"" resumed.", EventName = "ConnectionResume", SkipEnabledCheck = true)]
    private static partial void ResumeCore(ILogger logger, string connectionId);

    [LoggerMessage(6, LogLevel.Debug, @"Connection id ""{ConnectionId}"" received FIN.", EventName = "ConnectionReadFin", SkipEnabledCheck = true)]
    private static partial void ReadFinCore(ILogger logger, string connectionId);

    [LoggerMessage(7, LogLevel.Debug, @"Connection id ""{ConnectionId}"" sending FIN because: ""{Reason}""", EventName = "ConnectionWriteFin", SkipEnabledCheck = true)]
    private static partial void WriteFinCore(ILogger logger, string connectionId, string reason);

    [LoggerMessage(8, LogLevel.Debug, @"Connection id ""{ConnectionId}"" sending RST because: ""{Reason}""", EventName = "ConnectionWriteRst", SkipEnabledCheck = true)]
    private static partial void WriteRstCore(ILogger logger, string connectionId, string reason);

    [LoggerMessage(14, LogLevel.Debug, @"Connection id ""{ConnectionId}"" communication error.", EventName = "ConnectionError", SkipEnabledCheck = true)]
    private static partial void ErrorCore(ILogger logger, string connectionId, Exception exception);

    [LoggerMessage(19, LogLevel.Debug, @"Connection id ""{ConnectionId}"" reset.", EventName = "ConnectionReset", SkipEnabledCheck = true)]
    private static partial void ResetCore(ILogger logger, string connectionId);

    [LoggerMessage(0, LogLevel.Error, "Unexpected exception in EpollConnection.CancelConnectionClosedToken.", EventName = "CancelConnectionClosedToken")]
    public static partial void ClosedCallbackFailed(ILogger logger, Exception exception);

    [LoggerMessage(10, LogLevel.Critical, @"Connection id ""{ConnectionId}"": an unexpected exception ended it. Please report it.", EventName = "ConnectionFaulted")]
    public static partial void Faulted(ILogger logger, string connectionId, Exception exception);

    // The id of a connection is made when it is first read: not for a line that nobody sees.
    public static void Pause(ILogger logger, ConnectionContext connection)
    {
        if (logger.IsEnabled(LogLevel.Debug))
        {
            PauseCore(logger, connection.ConnectionId);
        }
    }

    public static void Resume(ILogger logger, ConnectionContext connection)
    {
        if (logger.IsEnabled(LogLevel.Debug))
        {
            ResumeCore(logger, connection.ConnectionId);
        }
    }

    public static void ReadFin(ILogger logger, ConnectionContext connection)
    {
        if (logger.IsEnabled(LogLevel.Debug))
        {
            ReadFinCore(logger, connection.ConnectionId);
        }
    }

    public static void WriteFin(ILogger logger, ConnectionContext connection, string reason)
    {
        if (logger.IsEnabled(LogLevel.Debug))
        {
            WriteFinCore(logger, connection.ConnectionId, reason);
        }
    }

    public static void WriteRst(ILogger logger, ConnectionContext connection, string reason)
    {
        if (logger.IsEnabled(LogLevel.Debug))
        {
            WriteRstCore(logger, connection.ConnectionId, reason);
        }
    }

    public static void Error(ILogger logger, ConnectionContext connection, Exception exception)
    {
        if (logger.IsEnabled(LogLevel.Debug))
        {
            ErrorCore(logger, connection.ConnectionId, exception);
        }
    }

    private static void Reset(ILogger logger, ConnectionContext connection)
    {
        if (logger.IsEnabled(LogLevel.Debug))
        {
            ResetCore(logger, connection.ConnectionId);
        }
    }

    /// <summary>The peer's or the network's end of a connection: a reset is an event of its own.</summary>
    public static void Failed(ILogger logger, ConnectionContext connection, Exception exception)
    {
        if (exception is ConnectionResetException)
        {
            Reset(logger, connection);
        }
        else
        {
            Error(logger, connection, exception);
        }
    }
}
