using System.Globalization;

namespace TransportBench.Processes;

/// <summary>Processor time since a process began, in seconds, to a hundredth.</summary>
internal readonly record struct CpuTime(double User, double System)
{
    public double Total => User + System;

    public static CpuTime operator -(CpuTime later, CpuTime earlier) =>
        new(later.User - earlier.User, later.System - earlier.System);
}

/// <summary>What the kernel tells about a process: proc(5).</summary>
internal static class ProcessFiles
{
    // USER_HZ, in which proc(5) counts: 100 on every Linux that .NET runs on.
    private const double TicksPerSecond = 100;

    // Positions behind the name, which is in parentheses and may itself have blanks and parentheses.
    private const int UserField = 11;
    private const int ChildrenUserField = 13;

    /// <summary>The processor time of a process that runs.</summary>
    public static CpuTime GetCpuTime(int process) => Read(process, UserField);

    /// <summary>The processor time of all our children that have ended.</summary>
    public static CpuTime GetEndedChildrenTime() => Read(Environment.ProcessId, ChildrenUserField);

    /// <summary>Seconds that all processors were busy with anything since the machine started, summed up.</summary>
    public static double GetMachineSeconds()
    {
        // "cpu", user, nice, system, idle, waiting for input and output, interrupts, soft interrupts, stolen by the host.
        string[] words = File.ReadLines("/proc/stat").First().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return ((int[])[1, 2, 3, 6, 7, 8]).Sum(column => long.Parse(words[column], CultureInfo.InvariantCulture)) / TicksPerSecond;
    }

    /// <summary>Resident memory in bytes.</summary>
    public static long GetResidentBytes(int process)
    {
        string line = File.ReadLines($"/proc/{process}/status").First(static l => l.StartsWith("VmRSS:", StringComparison.Ordinal));
        string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return long.Parse(words[1], CultureInfo.InvariantCulture) * 1024;
    }

    private static CpuTime Read(int process, int userField)
    {
        string[] fields = AfterName(process);
        return new CpuTime(
            long.Parse(fields[userField], CultureInfo.InvariantCulture) / TicksPerSecond,
            long.Parse(fields[userField + 1], CultureInfo.InvariantCulture) / TicksPerSecond);
    }

    private static string[] AfterName(int process)
    {
        string stat = File.ReadAllText($"/proc/{process}/stat");
        return stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
    }
}
