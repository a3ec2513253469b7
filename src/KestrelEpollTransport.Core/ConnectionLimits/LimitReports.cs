using System.Diagnostics.Metrics;
using System.Net;
using KestrelEpollTransport.Diagnostics;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.ConnectionLimits;

/// <summary>What limits tell of: counters of the transport's meter, and log lines. Thread-safe; one for an end point.</summary>
internal sealed partial class LimitReports
{
    /// <summary>Apart from the transport's, because it may be another's connection.</summary>
    public const string Category = "KestrelEpollTransport.ConnectionLimits";

    private const int ReportEveryMs = 60_000;

    private readonly ILogger _logger;
    private readonly RefusedConnections _refused;
    private readonly Counter<long> _ended;
    private long _nextReportMs = long.MinValue;
    private long _unreported;

    public LimitReports(ILogger logger, IMeterFactory meters)
    {
        _logger = logger;
        Meter meter = meters.Create(new MeterOptions(TransportMetrics.MeterName));
        _refused = new RefusedConnections(meter);
        _ended = meter.CreateCounter<long>(
            "epoll_transport.connections.ended", "{connection}", "Connections that were asked to end, by epoll_transport.reason (age or idle).");
    }

    /// <param name="endPoint">Which has too many.</param>
    /// <param name="most">How many it may have: of <paramref name="address"/>, or without that of all.</param>
    /// <param name="address">The client's, where its address was why.</param>
    public void Refused(EndPoint? endPoint, int most, IPAddress? address = null)
    {
        _refused.Add(address is null ? RefusedConnections.ConnectionLimit : RefusedConnections.AddressLimit);
        long refused = Interlocked.Increment(ref _unreported);
        long nowMs = Environment.TickCount64;
        long nextMs = Volatile.Read(ref _nextReportMs);
        if (nowMs < nextMs || Interlocked.CompareExchange(ref _nextReportMs, nowMs + ReportEveryMs, nextMs) != nextMs)
        {
            return;
        }

        Interlocked.Add(ref _unreported, -refused);
        if (address is null)
        {
            LogFull(_logger, endPoint, most, refused);
        }
        else
        {
            LogRefused(_logger, endPoint, most, address, refused);
        }
    }

    public void Ended(string connectionId, bool isAge)
    {
        TransportMetrics.Add(_ended, TransportMetrics.ReasonTag, isAge ? "age" : "idle");
        LogEnded(_logger, connectionId, isAge ? "it is old enough" : "it was idle");
    }

    public void Failed(string connectionId, Exception exception) => LogFailed(_logger, connectionId, exception);

    [LoggerMessage(
        50, LogLevel.Warning, "{EndPoint}: connections are reset because their address has {Most} already; the last one is of {Address} (refused since the last report: {Refused}).",
        EventName = "AddressRefused")]
    private static partial void LogRefused(ILogger logger, EndPoint? endPoint, int most, IPAddress address, long refused);

    [LoggerMessage(
        53, LogLevel.Warning, "{EndPoint}: connections are reset because it has {Most} already (refused since the last report: {Refused}).",
        EventName = "ConnectionRefused")]
    private static partial void LogFull(ILogger logger, EndPoint? endPoint, int most, long refused);

    [LoggerMessage(51, LogLevel.Debug, @"Connection id ""{ConnectionId}"" is asked to end: {Reason}.", EventName = "ConnectionAskedToEnd")]
    private static partial void LogEnded(ILogger logger, string connectionId, string reason);

    [LoggerMessage(52, LogLevel.Error, @"Connection id ""{ConnectionId}"": what the application registered for its end threw.", EventName = "LimitCallbackFailed")]
    private static partial void LogFailed(ILogger logger, string connectionId, Exception exception);
}
