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

/// <summary>What a dispatch took.</summary>
/// <param name="Ticks">How long, in the ticks of <see cref="Stopwatch"/>.</param>
/// <param name="Use">How it used that.</param>
/// <param name="ComputedTicks">The processor time of it; 0: not known, or too short to look into.</param>
internal readonly record struct DispatchTime(long Ticks, DispatchUse Use, long ComputedTicks = 0);

/// <summary>How long a dispatch took, and whether it slept: a thread that merely waits for a processor does not.</summary>
/// <remarks>
/// The kernel is asked only where the answer matters, which costs half a microsecond. A dispatch ends on the thread that it began on: what it
/// began with is kept there.
/// </remarks>
internal static class DispatchCost
{
    [ThreadStatic]
    private static (long Began, ThreadUsage Usage, long PauseTicks) s_thread;

    /// <summary>A dispatch begins. Returns the time, which <see cref="End"/> wants to know.</summary>
    public static long Begin(bool asksKernel)
    {
        long now = Stopwatch.GetTimestamp();
        if (asksKernel && ThreadUsage.OfThisThread() is { } usage)
        {
            s_thread = (now, usage, PauseTicks());
        }

        return now;
    }

    /// <summary>The dispatch is over. Returns what it took; up to the limit nobody has to look into that.</summary>
    public static DispatchTime End(long began, long limit)
    {
        long time = Stopwatch.GetTimestamp() - began;
        if (time <= limit)
        {
            return new DispatchTime(time, DispatchUse.Computed);
        }

        // Where the system does not tell: off the loop it keeps nobody waiting, whatever it does.
        if (!ThreadUsage.IsKnown)
        {
            return new DispatchTime(time, DispatchUse.Slept);
        }

        if (began != s_thread.Began || ThreadUsage.OfThisThread() is not { } usage)
        {
            return new DispatchTime(time, DispatchUse.Unknown);
        }

        long computed = usage.ProcessorTicks - s_thread.Usage.ProcessorTicks;
        long idle = time - computed - (PauseTicks() - s_thread.PauseTicks);
        bool slept = usage.Sleeps != s_thread.Usage.Sleeps && idle > limit;
        return new DispatchTime(time, slept ? DispatchUse.Slept : DispatchUse.Computed, computed);
    }

    // While the collector runs, threads wait for it as for a lock.
    private static long PauseTicks() => (long)(GC.GetTotalPauseDuration().TotalSeconds * Stopwatch.Frequency);
}
