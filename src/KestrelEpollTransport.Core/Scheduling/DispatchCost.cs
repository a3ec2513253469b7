using System.Diagnostics;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Scheduling;

/// <summary>How a dispatch used its time, as far as is known.</summary>
internal enum DispatchUse
{
    /// <summary>It was dear, and nobody had asked the kernel when it began.</summary>
    Unknown,

    /// <summary>It computed, or was too short to look into. It may have waited for the collector, or for a moment for a lock.</summary>
    Computed,

    /// <summary>It gave its processor up, and did not compute for longer than the limit; part of that may have been waiting for a processor.</summary>
    Slept,
}

/// <summary>
/// What a dispatch cost: the time it took. But of one whose verdict matters, and that did nothing but compute, what it computed:
/// threads that compete for a processor make each other look dear.
/// </summary>
/// <remarks>
/// The verdict matters when the connection has a strike already: asking the kernel costs half a microsecond, and one dear dispatch
/// by itself changes nothing. A dispatch ends on the thread that it began on: what it began with is kept there.
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

    /// <summary>The dispatch is over. Returns its cost, in the ticks of <see cref="Stopwatch"/>.</summary>
    /// <param name="began">What <see cref="Begin"/> returned.</param>
    /// <param name="limit">A time that nobody has to look into.</param>
    public static (long Ticks, DispatchUse Use) End(long began, long limit)
    {
        long time = Stopwatch.GetTimestamp() - began;
        if (time <= limit)
        {
            return (time, DispatchUse.Computed);
        }

        if (began != s_threadBegan || ThreadUsage.OfThisThread() is not { } usage)
        {
            return (time, DispatchUse.Unknown);
        }

        long computed = usage.ProcessorTicks - s_threadUsage.ProcessorTicks;
        bool slept = usage.Sleeps != s_threadUsage.Sleeps && time - computed - (PauseTicks() - s_pauses) > limit;
        return slept ? (time, DispatchUse.Slept) : (computed, DispatchUse.Computed);
    }

    // While the collector runs, threads wait for it as for a lock.
    private static long PauseTicks() => (long)(GC.GetTotalPauseDuration().TotalSeconds * Stopwatch.Frequency);
}
