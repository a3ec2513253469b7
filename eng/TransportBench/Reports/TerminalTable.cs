using System.Text;
using TransportBench.Running;

namespace TransportBench.Reports;

/// <summary>A scenario for a terminal: columns of equal width.</summary>
internal static class TerminalTable
{
    public static string Format(ScenarioResult result)
    {
        var text = new StringBuilder();
        text.AppendLine($"{result.Title}  [{result.Name}]");
        if (result.Failure is not null)
        {
            return text.AppendLine($"  FAILED: {result.Failure}").ToString();
        }

        IReadOnlyList<IReadOnlyList<string>> rows = ScenarioTable.Rows(result, withDetails: false);
        int[] widths = [.. Enumerable.Range(0, rows[0].Count).Select(column => rows.Max(row => row[column].Length))];
        foreach (IReadOnlyList<string> row in rows)
        {
            IEnumerable<string> cells = row.Select((cell, i) => i == 0 ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i]));
            text.Append("  ").AppendLine(string.Join("  ", cells).TrimEnd());
        }

        return text.ToString();
    }
}
