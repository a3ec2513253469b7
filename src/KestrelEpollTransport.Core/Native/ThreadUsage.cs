using System.Diagnostics;
using System.Runtime.InteropServices;

namespace KestrelEpollTransport.Native;

/// <summary>
/// What a thread has used so far, as the kernel counts it: whether it slept in between, and the processor time it had. Tells a
/// thread that computed or blocked from one that merely waited for a processor. On 64-bit Linux; about half a microsecond.
/// </summary>
/// <param name="Sleeps">How often it gave its processor up to wait for something, <c>ru_nvcsw</c> of getrusage(2).</param>
/// <param name="ProcessorTicks">CLOCK_THREAD_CPUTIME_ID of clock_gettime(2), in the ticks of <see cref="Stopwatch"/>.</param>
internal readonly partial record struct ThreadUsage(long Sleeps, long ProcessorTicks)
{
    private const string Library = "libc";

    // getrusage(2), <bits/resource.h>; clock_gettime(2), <linux/time.h>.
    private const int RUSAGE_THREAD = 1;
    private const int CLOCK_THREAD_CPUTIME_ID = 3;

    // struct rusage is two timevals and fourteen longs, of which ru_nvcsw is the last but one; musl has sixteen more for the future.
    private const int RusageLongs = 18 + 16;
    private const int VoluntarySwitches = 16;

    /// <summary>Whether the system tells.</summary>
    public static bool IsKnown => OperatingSystem.IsLinux() && Environment.Is64BitProcess;

    /// <summary>Of the calling thread; null: the system does not tell.</summary>
    public static unsafe ThreadUsage? OfThisThread()
    {
        if (!IsKnown)
        {
            return null;
        }

        long* usage = stackalloc long[RusageLongs];
        long* time = stackalloc long[2];
        if (GetUsage(RUSAGE_THREAD, usage) != 0 || GetTime(CLOCK_THREAD_CPUTIME_ID, time) != 0)
        {
            return null;
        }

        return new ThreadUsage(usage[VoluntarySwitches], (time[0] * Stopwatch.Frequency) + (time[1] * Stopwatch.Frequency / 1_000_000_000));
    }

    [LibraryImport(Library, EntryPoint = "getrusage")]
    private static unsafe partial int GetUsage(int who, long* usage);

    [LibraryImport(Library, EntryPoint = "clock_gettime")]
    private static unsafe partial int GetTime(int clock, long* time);
}
