using System.Globalization;
using System.Text;
using TransportBench.Measuring;
using TransportBench.Running;

namespace TransportBench.Reports;

/// <summary>A whole run as a page of Markdown: how it was measured, one line a scenario, then every figure.</summary>
internal static class MarkdownReport
{
    /// <param name="result">The run.</param>
    /// <param name="charts">Files beside the page.</param>
    /// <param name="comparison">A table about an earlier run; empty if there is none.</param>
    public static string Format(RunResult result, IReadOnlyList<string> charts, string comparison)
    {
        var text = new StringBuilder();
        (MachineInfo machine, RunInfo run) = (result.Machine, result.Run);
        text.AppendLine("# Transports compared").AppendLine();
        if (Quotable.ReasonAgainst(result) is { } reason)
        {
            text.AppendLine($"**Not to be quoted: {reason}.**").AppendLine();
        }

        text.AppendLine(CultureInfo.InvariantCulture,
            $"{run.Began:yyyy-MM-dd HH:mm}, {machine.Processor}, {machine.Processors} processors, Linux {machine.Kernel}, {string.Join(" and ", Runtimes(result))}, commit {machine.Revision}.").AppendLine();
        text.AppendLine(CultureInfo.InvariantCulture,
            $"Medians of {run.Pairs * run.Launches} turns of {run.Seconds:0.#} s{(run.Launches > 1 ? $", {run.Pairs} each on {run.Launches} servers," : "")} (or as many as a scenario says) after at least {run.WarmUpSeconds:0.#} s of warm-up, the transports in turns. × Sockets is the median of the ratios of each round, with (least..most); the control row is Sockets against itself, and tells what is noise.").AppendLine();

        text.AppendLine("## Ratio to Sockets").AppendLine();
        text.AppendLine(TextTable.Markdown(SummaryTable.Rows(result), wordColumns: 2));
        foreach (string chart in charts)
        {
            text.AppendLine($"![{Path.GetFileNameWithoutExtension(chart)}]({chart})").AppendLine();
        }

        if (comparison.Length > 0)
        {
            text.AppendLine("## Compared with an earlier run").AppendLine().AppendLine(comparison);
        }

        text.AppendLine("## Every figure").AppendLine();
        foreach (ScenarioResult scenario in result.Scenarios)
        {
            AppendScenario(text, scenario);
        }

        return text.ToString().TrimEnd() + "\n";
    }

    private static IEnumerable<string> Runtimes(RunResult result) =>
        result.Scenarios.SelectMany(static s => s.Contestants).Select(static c => c.Runtime).OfType<string>().Prepend(result.Machine.Runtime).Distinct();

    // Some scenarios have fewer than were asked for.
    private static string Turns(ScenarioResult scenario) =>
        scenario.Contestants is [var first, ..] ? $", turns of each: {first.Figures.Values.First().Values.Count}" : "";

    private static void AppendScenario(StringBuilder text, ScenarioResult scenario)
    {
        text.AppendLine($"### {scenario.Title}").AppendLine().AppendLine($"`{scenario.Name}`{Turns(scenario)}").AppendLine();
        if (scenario.Failure is not null)
        {
            text.AppendLine("```text").AppendLine($"FAILED: {scenario.Failure}").AppendLine("```").AppendLine();
            return;
        }

        text.AppendLine(TextTable.Markdown(ScenarioTable.Rows(scenario, withDetails: true)));
        foreach (string line in ScenarioTable.Lines(scenario))
        {
            text.AppendLine($"* {line}");
        }

        text.AppendLine();
    }
}
