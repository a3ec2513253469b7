using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Diagnostics;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Listening;

/// <summary>Counts what could not be accepted at one end point, and logs one of many equal failures. Thread-safe.</summary>
/// <param name="failures">Says which.</param>
/// <param name="endPoint">Where.</param>
/// <param name="logger">The transport's.</param>
/// <param name="metrics">The transport's.</param>
internal sealed class AcceptReports(AcceptFailures failures, EndPoint endPoint, ILogger logger, TransportMetrics metrics)
{
    /// <param name="reason">One of those of <see cref="RefusedConnections"/>.</param>
    public void Refused(string reason) => metrics.Refused(reason);

    /// <param name="exception">What failed.</param>
    /// <param name="byApplication">Whether the application's function threw it.</param>
    public void Report(Exception exception, bool byApplication = false)
    {
        SocketException? known = exception as SocketException;
        metrics.AcceptFailed(known?.SocketErrorCode.ToString() ?? exception.GetType().FullName!);
        if (!failures.ShouldReport(out long count))
        {
            return;
        }

        if (byApplication)
        {
            AcceptLog.ConfigureFailed(logger, endPoint, count, exception);
        }
        else if (known is null)
        {
            AcceptLog.Faulted(logger, endPoint, count, exception);
        }
        else if (known.SocketErrorCode is SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable)
        {
            AcceptLog.OutOfResources(logger, endPoint, known.Message, count);
        }
        else
        {
            AcceptLog.Failed(logger, endPoint, known.Message, count);
        }
    }
}
