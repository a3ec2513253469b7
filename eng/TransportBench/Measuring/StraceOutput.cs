using System.Globalization;

namespace TransportBench.Measuring;

/// <summary>The table of <c>strace -c</c>.</summary>
internal static class StraceOutput
{
    private const int CallsColumn = 3;

    /// <summary>How often each system call was made.</summary>
    public static IReadOnlyDictionary<string, long> Parse(string table)
    {
        var calls = new Dictionary<string, long>();
        foreach (string line in table.Split('\n'))
        {
            // "% time", "seconds", "usecs/call", "calls", "errors" if there were any, and the name.
            string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words.Length > CallsColumn + 1 && words[^1] != "total"
                && long.TryParse(words[CallsColumn], CultureInfo.InvariantCulture, out long count))
            {
                calls[words[^1]] = count;
            }
        }

        return calls;
    }
}
