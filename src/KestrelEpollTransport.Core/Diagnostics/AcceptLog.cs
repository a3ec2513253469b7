using System.Net;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>What listeners log. The warnings and the error are rate-limited by their caller.</summary>
internal static partial class AcceptLog
{
    [LoggerMessage(20, LogLevel.Warning, "{EndPoint}: connections can't be accepted because descriptors or memory ran out ({Error}; failures since the last report: {Failures}). Accepting pauses and is tried again every second or sooner.", EventName = "AcceptOutOfResources")]
    public static partial void OutOfResources(ILogger logger, EndPoint endPoint, string error, long failures);

    [LoggerMessage(21, LogLevel.Warning, "{EndPoint}: a connection could not be accepted ({Error}; failures since the last report: {Failures}).", EventName = "AcceptFailed")]
    public static partial void Failed(ILogger logger, EndPoint endPoint, string error, long failures);

    [LoggerMessage(24, LogLevel.Error, "{EndPoint}: an unexpected exception ended a connection before it was handed out; accepting goes on (failures since the last report: {Failures}). Please report it.", EventName = "AcceptFaulted")]
    public static partial void Faulted(ILogger logger, EndPoint endPoint, long failures, Exception exception);

    [LoggerMessage(25, LogLevel.Warning, "{EndPoint}: ConfigureAcceptedSocket threw an exception, and the connection was closed; accepting goes on (failures since the last report: {Failures}).", EventName = "ConfigureAcceptedSocketFailed")]
    public static partial void ConfigureFailed(ILogger logger, EndPoint endPoint, long failures, Exception exception);

    [LoggerMessage(22, LogLevel.Critical, "{EndPoint}: the listening socket is unusable and no more connections will be accepted.", EventName = "ListenerUnusable")]
    public static partial void Unusable(ILogger logger, EndPoint endPoint, Exception exception);

    [LoggerMessage(23, LogLevel.Information, "The epoll transport does not know this platform; another transport, Sockets if it is registered, serves its endpoints.", EventName = "PlatformNotSupported")]
    public static partial void PlatformNotSupported(ILogger logger);

    [LoggerMessage(26, LogLevel.Information, "The epoll transport is switched off: {Reason}. Another transport, Sockets if it is registered, serves its endpoints.", EventName = "SwitchedOff")]
    public static partial void SwitchedOff(ILogger logger, string reason);

    [LoggerMessage(27, LogLevel.Information, "The epoll transport serves {EndPoints} (event loops: {Loops}, scheduling: {Scheduling}).", EventName = "Serving")]
    public static partial void Serving(ILogger logger, string endPoints, int loops, string scheduling);

    [LoggerMessage(28, LogLevel.Debug, "The options of the epoll transport: {Options}", EventName = "ResolvedOptions")]
    public static partial void ResolvedOptions(ILogger logger, string options);
}
