using System.Diagnostics;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Scheduling;

/// <summary>What a dispatch took.</summary>
/// <param name="Ticks">How long, in the ticks of <see cref="Stopwatch"/>.</param>
/// <param name="Slept">
/// Whether it gave its processor up, and did not compute for longer than the limit; part of that may have been waiting for a processor. False: it
/// computed, or was too short to look into; it may have waited for the collector, or for a moment for a lock. Null: it took longer than
/// the limit, and nobody had asked the kernel when it began.
/// </param>
/// <param name="ComputedTicks">The processor time of it; 0: not known, or too short to look into.</param>
internal readonly record struct DispatchTime(long Ticks, bool? Slept, long ComputedTicks = 0);

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
            return new DispatchTime(time, Slept: false);
        }

        // Where the system does not tell: off the loop it keeps nobody waiting, whatever it does.
        if (!ThreadUsage.IsKnown)
        {
            return new DispatchTime(time, Slept: true);
        }

        if (began != s_thread.Began || ThreadUsage.OfThisThread() is not { } usage)
        {
            return new DispatchTime(time, Slept: null);
        }

        long computed = usage.ProcessorTicks - s_thread.Usage.ProcessorTicks;
        long idle = time - computed - (PauseTicks() - s_thread.PauseTicks);
        return new DispatchTime(time, Slept: usage.Sleeps != s_thread.Usage.Sleeps && idle > limit, computed);
    }

    // While the collector runs, threads wait for it as for a lock.
    private static long PauseTicks() => (long)(GC.GetTotalPauseDuration().TotalSeconds * Stopwatch.Frequency);
}
