using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Listening;

/// <summary>What an error of accept(2) says.</summary>
internal enum AcceptError { NothingWaits, ConnectionGone, OutOfResources, OneConnection, Unusable }

/// <summary>
/// What to do about a failure to accept, how long to wait after it, and which of many equal ones to report. Thread-safe; loops that
/// fail at the same moment may get the same delay.
/// </summary>
internal sealed class AcceptFailures
{
    private const int FirstDelayMs = 20;
    private const int MaxDelayMs = 1_000;
    private const int ReportEveryMs = 10_000;

    private int _delayMs = FirstDelayMs;
    private long _nextReportMs = long.MinValue;
    private long _unreported;

    public static AcceptError Classify(int errno) => errno switch
    {
        // Another loop was faster.
        Errno.EAGAIN => AcceptError.NothingWaits,
        // Before it was accepted: take the next one.
        Errno.ECONNABORTED or Errno.ECONNRESET => AcceptError.ConnectionGone,
        // Trying again at once would only spin.
        Errno.EMFILE or Errno.ENFILE or Errno.ENOBUFS or Errno.ENOMEM => AcceptError.OutOfResources,
        // The listening descriptor itself, and for good.
        Errno.EBADF or Errno.EINVAL or Errno.ENOTSOCK or Errno.EOPNOTSUPP => AcceptError.Unusable,
        // EPERM (a firewall's), EPROTO, ENETDOWN, EHOSTUNREACH and what else the manual lets through.
        _ => AcceptError.OneConnection,
    };

    /// <summary>The wait after this failure, in milliseconds: doubles until something is accepted.</summary>
    public int NextDelayMs()
    {
        int delayMs = Volatile.Read(ref _delayMs);
        Volatile.Write(ref _delayMs, Math.Min(delayMs * 2, MaxDelayMs));
        return delayMs;
    }

    /// <summary>Something was accepted.</summary>
    public void Reset()
    {
        if (Volatile.Read(ref _delayMs) != FirstDelayMs)
        {
            Volatile.Write(ref _delayMs, FirstDelayMs);
        }
    }

    /// <summary>Counts a failure. True: report now, with the number of failures since the last report.</summary>
    public bool ShouldReport(out long failures)
    {
        failures = Interlocked.Increment(ref _unreported);
        long nowMs = Environment.TickCount64;
        long nextMs = Volatile.Read(ref _nextReportMs);
        if (nowMs < nextMs || Interlocked.CompareExchange(ref _nextReportMs, nowMs + ReportEveryMs, nextMs) != nextMs)
        {
            return false;
        }

        failures = Interlocked.Exchange(ref _unreported, 0);
        return true;
    }
}
