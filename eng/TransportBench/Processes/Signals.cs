using System.Runtime.InteropServices;

namespace TransportBench.Processes;

/// <summary>Stops a process and lets it go on: kill(2), signal(7).</summary>
internal static partial class Signals
{
    // The same numbers on every architecture that .NET runs on under Linux.
    private const int Continue = 18;
    private const int Stop = 19;

    public static void SendStop(int process) => _ = Kill(process, Stop);

    public static void SendContinue(int process) => _ = Kill(process, Continue);

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
