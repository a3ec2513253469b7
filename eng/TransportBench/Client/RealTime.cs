using System.Runtime.InteropServices;

namespace TransportBench.Client;

/// <summary>Puts a thread before all that have no real-time priority: sched(7).</summary>
internal static unsafe partial class RealTime
{
    // SCHED_FIFO, and SCHED_RESET_ON_FORK: threads that are begun later are not real-time.
    private const int Policy = 1 | 0x40000000;
    private const int LowestPriority = 1;
    private const int ThisThread = 0;

    /// <summary>
    /// The calling thread runs from now on as soon as it has something to do. Does nothing where that isn't allowed: it takes
    /// CAP_SYS_NICE, or an RLIMIT_RTPRIO of 1.
    /// </summary>
    public static void TryEnter()
    {
        int priority = LowestPriority;
        _ = SetScheduler(ThisThread, Policy, &priority);
    }

    // struct sched_param has the priority only.
    [LibraryImport("libc", EntryPoint = "sched_setscheduler")]
    private static partial int SetScheduler(int thread, int policy, int* parameters);
}
