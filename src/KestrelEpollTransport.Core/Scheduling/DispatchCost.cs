using System.Diagnostics;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Scheduling;

/// <summary>How a dispatch used its time, as far as is known.</summary>
internal enum DispatchUse
{
    /// <summary>It took longer than the limit, and nobody had asked the kernel when it began.</summary>
    Unknown,

    /// <summary>It computed, or was too short to look into. It may have waited for the collector, or for a moment for a lock.</summary>
    Computed,

    /// <summary>It gave its processor up, and did not compute for longer than the limit; part of that may have been waiting for a processor.</summary>
    Slept,
}

/// <summary>How long a dispatch took, and whether it slept: a thread that merely waits for a processor does not.</summary>
/// <remarks>
/// The kernel is asked only where the answer matters, which costs half a microsecond. A dispatch ends on the thread that it began on: what it
/// began with is kept there.
/// </remarks>
internal static class DispatchCost
{
    [ThreadStatic]
    private static long s_threadBegan;

    [ThreadStatic]
    private static ThreadUsage s_threadUsage;

    [ThreadStatic]
    private static long s_pauses;

    /// <summary>A dispatch begins. Returns the time, which <see cref="End"/> wants to know.</summary>
    /// <param name="asksKernel">Whether to ask the kernel also.</param>
    public static long Begin(bool asksKernel)
    {
        long now = Stopwatch.GetTimestamp();
        if (asksKernel && ThreadUsage.OfThisThread() is { } usage)
        {
            s_threadBegan = now;
            s_threadUsage = usage;
            s_pauses = PauseTicks();
        }

        return now;
    }

    /// <summary>The dispatch is over. Returns how long it took, in the ticks of <see cref="Stopwatch"/>.</summary>
    /// <param name="began">What <see cref="Begin"/> returned.</param>
    /// <param name="limit">A time that nobody has to look into.</param>
    public static (long Ticks, DispatchUse Use) End(long began, long limit)
    {
        long time = Stopwatch.GetTimestamp() - began;
        if (time <= limit)
        {
            return (time, DispatchUse.Computed);
        }

        // Where the system does not tell: off the loop it keeps nobody waiting, whatever it does.
        if (!ThreadUsage.IsKnown)
        {
            return (time, DispatchUse.Slept);
        }

        if (began != s_threadBegan || ThreadUsage.OfThisThread() is not { } usage)
        {
            return (time, DispatchUse.Unknown);
        }

        long idle = time - (usage.ProcessorTicks - s_threadUsage.ProcessorTicks) - (PauseTicks() - s_pauses);
        return (time, usage.Sleeps != s_threadUsage.Sleeps && idle > limit ? DispatchUse.Slept : DispatchUse.Computed);
    }

    // While the collector runs, threads wait for it as for a lock.
    private static long PauseTicks() => (long)(GC.GetTotalPauseDuration().TotalSeconds * Stopwatch.Frequency);
}
