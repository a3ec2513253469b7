using System.Globalization;

namespace TransportBench.Processes;

/// <summary>Which processors the server has, and which the load.</summary>
/// <param name="Server">Numbers of the processors of the server.</param>
/// <param name="Load">Numbers of the processors of the load generator.</param>
internal sealed record Processors(IReadOnlyList<int> Server, IReadOnlyList<int> Load)
{
    /// <summary>The processors that this process may use.</summary>
    public static IReadOnlyList<int> Allowed { get; } = ReadAllowed();

    /// <summary>Server and load share what there is, as on a machine that nobody has arranged.</summary>
    public static Processors Shared { get; } = new(Allowed, Allowed);

    /// <summary>
    /// The server has one processor for itself, so that its time is spent on requests and not on waiting for the
    /// load; the load has the others.
    /// </summary>
    public static Processors Pinned { get; } = Allowed.Count > 1 ? new([Allowed[0]], [.. Allowed.Skip(1)]) : Shared;

    /// <summary>Reads a list of proc(5), such as 0-3,8.</summary>
    internal static IReadOnlyList<int> ParseList(string list)
    {
        var numbers = new List<int>();
        foreach (string range in list.Trim().Split(','))
        {
            int[] ends = [.. range.Split('-').Select(static n => int.Parse(n, CultureInfo.InvariantCulture))];
            numbers.AddRange(Enumerable.Range(ends[0], ends[^1] - ends[0] + 1));
        }

        return numbers;
    }

    private static IReadOnlyList<int> ReadAllowed()
    {
        const string Label = "Cpus_allowed_list:";
        string line = File.ReadLines("/proc/self/status").First(static l => l.StartsWith(Label, StringComparison.Ordinal));
        return ParseList(line[Label.Length..]);
    }
}
