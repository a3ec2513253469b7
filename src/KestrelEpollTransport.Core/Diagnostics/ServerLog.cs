using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>What a server in a generic host logs.</summary>
internal static partial class ServerLog
{
    [LoggerMessage(60, LogLevel.Information, "Now listening on: {EndPoint}", EventName = "Listening")]
    public static partial void Listening(ILogger logger, EndPoint endPoint);

    [LoggerMessage(61, LogLevel.Warning, "The server has no endpoint: nothing called Listen().", EventName = "NoEndPoint")]
    public static partial void NoEndPoint(ILogger logger);

    [LoggerMessage(62, LogLevel.Error, "{EndPoint}: accepting failed. It is tried again, every second or sooner, until it succeeds.", EventName = "ServerAcceptFailed")]
    public static partial void AcceptFailed(ILogger logger, EndPoint endPoint, Exception exception);

    [LoggerMessage(63, LogLevel.Error, @"Connection id ""{ConnectionId}"": its handler threw, and it was closed.", EventName = "HandlerFailed")]
    public static partial void HandlerFailed(ILogger logger, string connectionId, Exception exception);

    [LoggerMessage(64, LogLevel.Debug, @"Connection id ""{ConnectionId}"" ended: {Reason}", EventName = "ConnectionEnded", SkipEnabledCheck = true)]
    private static partial void ConnectionEnded(ILogger logger, string connectionId, string reason);

    [LoggerMessage(65, LogLevel.Error, @"Connection id ""{ConnectionId}"": what the application registered for its end threw.", EventName = "StopCallbackFailed")]
    public static partial void StopCallbackFailed(ILogger logger, string connectionId, Exception exception);

    [LoggerMessage(66, LogLevel.Warning, "Connections that did not end before the host's shutdown time-out are aborted: {Count}.", EventName = "ConnectionsAborted")]
    public static partial void ConnectionsAborted(ILogger logger, int count);

    [LoggerMessage(67, LogLevel.Warning, "Handlers that go on although their connections were aborted: {Count}. The host stops without them.", EventName = "HandlersLeft")]
    public static partial void HandlersLeft(ILogger logger, int count);

    [LoggerMessage(70, LogLevel.Debug, @"Connection id ""{ConnectionId}"": the TLS handshake failed.", EventName = "HandshakeFailed")]
    public static partial void HandshakeFailed(ILogger logger, string connectionId, Exception exception);

    [LoggerMessage(71, LogLevel.Debug, @"Connection id ""{ConnectionId}"": the TLS handshake took longer than {Seconds} s.", EventName = "HandshakeTimedOut")]
    public static partial void HandshakeTimedOut(ILogger logger, string connectionId, double seconds);

    /// <summary>An end that is nobody's mistake. The id of a connection is made when it is first read.</summary>
    public static void Ended(ILogger logger, ConnectionContext connection, Exception exception)
    {
        if (logger.IsEnabled(LogLevel.Debug))
        {
            ConnectionEnded(logger, connection.ConnectionId, exception.Message);
        }
    }
}
