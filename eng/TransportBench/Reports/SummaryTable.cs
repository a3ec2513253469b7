using TransportBench.Measuring;
using TransportBench.Running;

namespace TransportBench.Reports;

/// <summary>One line for each scenario and compared figure: the ratio of each transport.</summary>
internal static class SummaryTable
{
    public static IReadOnlyList<IReadOnlyList<string>> Rows(RunResult result)
    {
        string[] transports = [.. result.Scenarios.SelectMany(static s => s.Contestants.Skip(1)).Select(static c => c.Title).Distinct()];
        var rows = new List<IReadOnlyList<string>> { (string[])["scenario", "", .. transports] };
        foreach (ScenarioResult scenario in result.Scenarios)
        {
            foreach (Figure figure in scenario.Figures.Where(f => scenario.Headlines.Contains(f.Key)))
            {
                rows.Add((string[])[scenario.Title, figure.Title, .. transports.Select(t => Cell(scenario, t, figure))]);
            }
        }

        return rows;
    }

    private static string Cell(ScenarioResult scenario, string title, Figure figure)
    {
        ContestantResult? contestant = scenario.Contestants.FirstOrDefault(c => c.Title == title);
        return Format.Ratio(contestant?.Figures.GetValueOrDefault(figure.Key)?.Ratio);
    }
}
