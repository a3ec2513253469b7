using TransportBench.Measuring;
using TransportBench.Running;

namespace TransportBench.Reports;

/// <summary>
/// This run beside an earlier one. Ratios to Sockets are compared and not figures: those of another day are about another
/// day's machine.
/// </summary>
internal static class BaselineTable
{
    public static IReadOnlyList<IReadOnlyList<string>> Rows(RunResult baseline, RunResult now)
    {
        var rows = new List<IReadOnlyList<string>> { (string[])["scenario", "figure", "transport", "then × Sockets", "now × Sockets", ""] };
        foreach (ScenarioResult scenario in now.Scenarios)
        {
            ScenarioResult? earlier = baseline.Scenarios.FirstOrDefault(s => s.Name == scenario.Name);
            foreach (Figure figure in scenario.Figures.Where(f => scenario.Headlines.Contains(f.Key)))
            {
                foreach (ContestantResult contestant in scenario.Contestants.Skip(1))
                {
                    ContestantResult? then = earlier?.Contestants.FirstOrDefault(c => c.Transport == contestant.Transport);
                    if (then?.Figures.GetValueOrDefault(figure.Key)?.Ratio is { } was
                        && contestant.Figures.GetValueOrDefault(figure.Key)?.Ratio is { } isNow)
                    {
                        rows.Add([scenario.Name, figure.Title, contestant.Title, Format.Ratio(was), Format.Ratio(isNow), Verdict(figure, was, isNow)]);
                    }
                }
            }
        }

        return rows;
    }

    /// <summary>Says that something changed only where no ratio of one run occurred in the other.</summary>
    internal static string Verdict(Figure figure, Spread was, Spread isNow)
    {
        if (was.Overlaps(isNow))
        {
            return "";
        }

        bool isHigher = isNow.Median > was.Median;
        return isHigher == (figure.Better == Better.Higher) ? "better" : "WORSE";
    }
}
