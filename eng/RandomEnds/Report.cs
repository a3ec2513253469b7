using RandomEnds.Judging;
using RandomEnds.Plans;

namespace RandomEnds;

/// <summary>Says what a campaign found: how often each end showed each fault, on which transports, with an example.</summary>
internal static class Report
{
    private const int MostLogLines = 10;

    public static string Create(Campaign campaign)
    {
        List<string> lines = [];
        HashSet<int> shown = [];
        var groups = campaign.Failed
            .SelectMany(static failed => failed.Findings.Select(finding => (Case: failed, Finding: finding)))
            .GroupBy(static f => (f.Finding.Kind, f.Case.Plan.End))
            .OrderBy(static g => g.Key.Kind, StringComparer.Ordinal).ThenBy(static g => g.Key.End);
        foreach (IGrouping<(string Kind, End End), (FailedCase Case, Finding Finding)> group in groups)
        {
            IEnumerable<string> counts = group
                .GroupBy(static f => f.Finding.Subject, static f => f.Case.Plan.Number)
                .OrderBy(static g => g.Key)
                .Select(static g => $"{g.Key} {g.Distinct().Count()}");
            lines.Add($"{group.Key.End}, rule {group.Key.Kind}: {string.Join(", ", counts)} of {campaign.Ran} cases; for example");
            FailedCase example = group.MinBy(static f => (f.Case.Plan.Before.Count, f.Case.Plan.Number)).Case;
            lines.Add(shown.Add(example.Plan.Number) ? $"{example}" : $"case {example.Plan.Number}, which is shown above");
        }

        lines.AddRange(campaign.LoggedAboveDebug.Distinct().Take(MostLogLines).Select(static line => $"logged above Debug: {line}"));
        return string.Join(Environment.NewLine, lines);
    }
}
