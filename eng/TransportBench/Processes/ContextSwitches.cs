using System.Globalization;

namespace TransportBench.Processes;

/// <summary>
/// How often each thread of a process gave its processor to another one, waiting for something or because it had to: the two
/// <c>ctxt_switches</c> of proc_pid_status(5).
/// </summary>
internal sealed class ContextSwitches
{
    private readonly Dictionary<string, long> _byThread = [];

    private ContextSwitches()
    {
    }

    public static ContextSwitches Read(int process)
    {
        var switches = new ContextSwitches();
        foreach (string thread in Directory.EnumerateDirectories($"/proc/{process}/task"))
        {
            try
            {
                switches._byThread[thread] = Parse(File.ReadLines($"{thread}/status"));
            }
            catch (IOException)
            {
                // It has ended.
            }
        }

        return switches;
    }

    /// <summary>
    /// Of the threads that there were both times, so no more than there were: what the others did in between is not known.
    /// </summary>
    public long Since(ContextSwitches earlier) =>
        _byThread.Sum(thread => thread.Value - earlier._byThread.GetValueOrDefault(thread.Key, thread.Value));

    /// <summary>Both kinds, of one thread.</summary>
    internal static long Parse(IEnumerable<string> status)
    {
        const string Label = "voluntary_ctxt_switches:";
        return status
            .Where(static line => line.Contains(Label, StringComparison.Ordinal))
            .Sum(static line => long.Parse(line[(line.IndexOf(Label, StringComparison.Ordinal) + Label.Length)..], CultureInfo.InvariantCulture));
    }
}
