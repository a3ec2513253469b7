namespace KestrelEpollTransport.Listening;

/// <summary>
/// How long to wait after an error, and which of many equal errors to report. Called by one loop at a time for a
/// pause, and tolerant of more: both are only about pace.
/// </summary>
internal sealed class AcceptBackOff
{
    private const int FirstDelayMs = 20;
    private const int MaxDelayMs = 1_000;
    private const int ReportEveryMs = 10_000;

    private int _delayMs = FirstDelayMs;
    private long _nextReportMs = long.MinValue;
    private long _unreported;

    /// <summary>The wait after this failure: doubles until something is accepted.</summary>
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
