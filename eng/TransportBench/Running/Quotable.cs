using System.Globalization;
using TransportBench.Measuring;

namespace TransportBench.Running;

/// <summary>Which runs have figures that may be quoted. What is too short, or shared its machine, is for looking only.</summary>
internal static class Quotable
{
    /// <summary>Fewer rounds than this have no spread to speak of.</summary>
    private const int LeastRounds = 3;

    /// <summary>What is compiled before is not what serves later.</summary>
    private const double LeastWarmUpSeconds = 5;

    /// <summary>As the median of all turns: more of the machine than this was somebody else's, in percent.</summary>
    private const double MostForOthers = 10;

    /// <summary>Why the figures of <paramref name="result"/> are not to be quoted; null if they may be.</summary>
    public static string? ReasonAgainst(RunResult result)
    {
        RunInfo run = result.Run;
        if (run.Pairs * run.Launches < LeastRounds || run.WarmUpSeconds < LeastWarmUpSeconds)
        {
            return string.Create(CultureInfo.InvariantCulture,
                $"{run.Pairs * run.Launches} rounds after {run.WarmUpSeconds:0.#} s of warm-up are a look, not a measurement");
        }

        double others = OthersBusy(result);
        return others > MostForOthers
            ? string.Create(CultureInfo.InvariantCulture, $"something else had {others:0} % of the machine")
            : null;
    }

    private static double OthersBusy(RunResult result)
    {
        double[] turns =
        [
            .. result.Scenarios.SelectMany(static scenario => scenario.Contestants)
                .SelectMany(static contestant => contestant.Figures.GetValueOrDefault(Figures.OthersBusy.Key)?.Values ?? []),
        ];
        return turns.Length == 0 ? 0 : Spread.Of(turns).Median;
    }
}
