using RandomEnds.Judging;
using RandomEnds.Plans;
using RandomEnds.Running;

namespace RandomEnds;

/// <summary>A case with what is wrong with it, and what was seen on every transport.</summary>
internal sealed record FailedCase(CasePlan Plan, IReadOnlyList<Finding> Findings, IReadOnlyList<Observation> Seen)
{
    public override string ToString() => string.Join(Environment.NewLine,
    [
        Plan.ToString(),
        .. Findings.Select(static f => $"  {f.Subject}, rule {f.Rule}: {f.What}"),
        .. Seen.SelectMany(static seen => (string[])[$"  {seen.Subject}:", .. seen.Transcript.Select(static line => $"    {line}")]),
        $"  again: eng/ends.sh --case {Plan.Number} --seed {Plan.Seed}",
    ]);
}
