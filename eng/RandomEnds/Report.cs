using System.Globalization;
using RandomEnds.Judging;
using RandomEnds.Transports;

namespace RandomEnds;

/// <summary>Says what a campaign found: how often each rule was broken, with an example of each.</summary>
internal static class Report
{
    public static string Create(Campaign campaign)
    {
        List<string> lines = [];
        HashSet<int> shown = [];
        var groups = campaign.Failed
            .SelectMany(static failed => failed.Findings.Select(finding => (failed, finding)))
            .GroupBy(static f => (f.finding.Rule, f.finding.Subject))
            .OrderBy(static g => g.Key.Rule, StringComparer.Ordinal).ThenBy(static g => g.Key.Subject);
        foreach (IGrouping<(string Rule, Subject Subject), (FailedCase Case, Finding Finding)> group in groups)
        {
            FailedCase example = group.MinBy(static f => f.Case.Plan.Before.Count).Case;
            int count = group.Select(static f => f.Case.Plan.Number).Distinct().Count();
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"{group.Key.Subject}, rule {group.Key.Rule}: {count} of {campaign.Ran} cases; for example"));
            lines.Add(shown.Add(example.Plan.Number) ? $"{example}" : $"  case {example.Plan.Number}, above");
        }

        lines.AddRange(campaign.LoggedAboveDebug.Distinct().Take(10).Select(static line => $"logged above Debug: {line}"));
        return string.Join(Environment.NewLine, lines);
    }
}
