using System.Text;
using TransportBench.Running;

namespace TransportBench.Reports;

/// <summary>A scenario for a terminal, as soon as it is done.</summary>
internal static class TerminalReport
{
    public static string Format(ScenarioResult result)
    {
        var text = new StringBuilder();
        text.AppendLine($"{result.Title}  [{result.Name}]");
        if (result.Failure is not null)
        {
            return text.AppendLine($"  FAILED: {result.Failure}").ToString();
        }

        text.Append(TextTable.Aligned(ScenarioTable.Rows(result, withDetails: false)));
        foreach (string line in ScenarioTable.Lines(result))
        {
            text.Append("  ").AppendLine(line);
        }

        return text.ToString();
    }
}
