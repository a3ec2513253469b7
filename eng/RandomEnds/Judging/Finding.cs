using RandomEnds.Transports;

namespace RandomEnds.Judging;

/// <summary>One thing that is wrong with what was seen.</summary>
/// <param name="Subject">The transport it was seen on.</param>
/// <param name="Rule">A rule's name, the same for all cases that break it.</param>
/// <param name="What">What was seen, and what should have been.</param>
internal sealed record Finding(Subject Subject, string Rule, string What);
