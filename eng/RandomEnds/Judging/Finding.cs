using System.Text.RegularExpressions;
using RandomEnds.Transports;

namespace RandomEnds.Judging;

/// <summary>One thing that is wrong with what was seen.</summary>
/// <param name="Subject">The transport it was seen on.</param>
/// <param name="Rule">A rule's name, the same for all cases that break it.</param>
/// <param name="What">What was seen, and what should have been.</param>
internal sealed partial record Finding(Subject Subject, string Rule, string What)
{
    /// <summary>What was wrong, without the numbers: the same for cases with the same fault.</summary>
    public string Kind => $"{Rule}: {Numbers().Replace(What.Split('\n', 2)[0], "#")}";

    [GeneratedRegex("[0-9]+")]
    private static partial Regex Numbers();
}
