using TransportBench.Measuring;

namespace TransportBench.Running;

/// <summary>All that a run found.</summary>
internal sealed record RunResult(MachineInfo Machine, RunInfo Run, IReadOnlyList<ScenarioResult> Scenarios);

/// <summary>Where a run took place.</summary>
internal sealed record MachineInfo(string Processor, int Processors, string Kernel, string Runtime, string Revision);

/// <summary>How thorough a run was.</summary>
/// <param name="Began">When.</param>
/// <param name="Pairs">As <see cref="RunSettings.Pairs"/>.</param>
/// <param name="Seconds">As <see cref="RunSettings.Seconds"/>.</param>
/// <param name="WarmUpSeconds">As <see cref="RunSettings.WarmUpSeconds"/>.</param>
/// <param name="Launches">As <see cref="RunSettings.Launches"/>.</param>
internal sealed record RunInfo(DateTimeOffset Began, int Pairs, double Seconds, double WarmUpSeconds, int Launches = 1);

/// <summary>What one transport did in a scenario.</summary>
/// <param name="Transport">Its name.</param>
/// <param name="Title">As in tables.</param>
/// <param name="Figures">By key.</param>
/// <param name="SystemCalls">Calls a request, by name; null if they were not counted.</param>
/// <param name="Discarded">Why turns were discarded, one entry a turn; null where none can be.</param>
/// <param name="Runtime">On what its servers ran, as they say; null in old files, and where another build didn't say.</param>
internal sealed record ContestantResult(
    string Transport,
    string Title,
    IReadOnlyDictionary<string, FigureResult> Figures,
    IReadOnlyDictionary<string, double>? SystemCalls,
    IReadOnlyList<string>? Discarded = null,
    string? Runtime = null);

/// <summary>A figure over all rounds.</summary>
/// <param name="Values">By round.</param>
/// <param name="Spread">Of the values.</param>
/// <param name="Ratio">Of the ratios to Sockets, round by round; null for what isn't compared.</param>
internal sealed record FigureResult(IReadOnlyList<double> Values, Spread Spread, Spread? Ratio);
