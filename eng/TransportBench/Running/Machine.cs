using System.Reflection;
using System.Runtime.InteropServices;
using TransportBench.Processes;

namespace TransportBench.Running;

/// <summary>Finds out where this runs.</summary>
internal static class Machine
{
    public static MachineInfo Describe() => new(
        ProcessorName(),
        Processors.Allowed.Count,
        File.ReadAllText("/proc/sys/kernel/osrelease").Trim(),
        RuntimeInformation.FrameworkDescription,
        Revision());

    // x86 has a name here, other processors have not.
    private static string ProcessorName()
    {
        const string Label = "model name";
        string? line = File.ReadLines("/proc/cpuinfo").FirstOrDefault(static l => l.StartsWith(Label, StringComparison.Ordinal));
        return line?[(line.IndexOf(':') + 1)..].Trim() ?? RuntimeInformation.ProcessArchitecture.ToString();
    }

    // The SDK puts the commit behind the version.
    private static string Revision()
    {
        string version = Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";
        int plus = version.IndexOf('+');
        const int Shortened = 12;
        return plus < 0 ? "unknown" : version[(plus + 1)..][..Math.Min(Shortened, version.Length - plus - 1)];
    }
}
