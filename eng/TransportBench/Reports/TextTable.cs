using System.Text;

namespace TransportBench.Reports;

/// <summary>Writes rows of text as a table; the first row has the titles, and the first columns are words.</summary>
internal static class TextTable
{
    /// <summary>Columns of equal width, for a terminal.</summary>
    public static string Aligned(IReadOnlyList<IReadOnlyList<string>> rows, int wordColumns = 1)
    {
        int[] widths = [.. Enumerable.Range(0, rows[0].Count).Select(column => rows.Max(row => row[column].Length))];
        var text = new StringBuilder();
        foreach (IReadOnlyList<string> row in rows)
        {
            IEnumerable<string> cells = row.Select((cell, i) => i < wordColumns ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i]));
            text.Append("  ").AppendLine(string.Join("  ", cells).TrimEnd());
        }

        return text.ToString();
    }

    public static string Markdown(IReadOnlyList<IReadOnlyList<string>> rows, int wordColumns = 1)
    {
        var text = new StringBuilder();
        AppendRow(text, rows[0]);
        AppendRow(text, rows[0].Select((_, i) => i < wordColumns ? "---" : "---:"));
        foreach (IReadOnlyList<string> row in rows.Skip(1))
        {
            AppendRow(text, row);
        }

        return text.ToString();
    }

    private static void AppendRow(StringBuilder text, IEnumerable<string> cells) =>
        text.Append("| ").AppendJoin(" | ", cells).AppendLine(" |");
}
