using System.Runtime.InteropServices;

namespace TransportBench.Client;

/// <summary>The processor time of the calling thread: clock_gettime(2).</summary>
internal static unsafe partial class ThreadTime
{
    private const int ThreadClock = 3;
    private const double SecondsPerNanosecond = 1e-9;

    /// <summary>User and system, in seconds, since the thread began.</summary>
    public static double GetSeconds()
    {
        // struct timespec: seconds and nanoseconds. It can't fail: the clock exists since Linux 2.6.12.
        nint* time = stackalloc nint[2];
        _ = GetTime(ThreadClock, time);
        return time[0] + (time[1] * SecondsPerNanosecond);
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, nint* time);
}
