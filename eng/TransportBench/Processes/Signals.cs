using System.Runtime.InteropServices;

namespace TransportBench.Processes;

/// <summary>Stops a process, lets it go on, asks it to end: kill(2), signal(7).</summary>
internal static partial class Signals
{
    // The same numbers on every architecture that .NET runs on under Linux.
    private const int Interrupt = 2;
    private const int Continue = 18;
    private const int Stop = 19;

    public static void SendStop(int process) => _ = Kill(process, Stop);

    public static void SendInterrupt(int process) => _ = Kill(process, Interrupt);

    public static void SendContinue(int process) => _ = Kill(process, Continue);

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
