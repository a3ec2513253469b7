using ScottPlot;
using TransportBench.Measuring;
using TransportBench.Running;

namespace TransportBench.Reports.Charts;

/// <summary>One scenario's percentiles of the time of a request, a line for each transport.</summary>
internal static class LatencyChart
{
    private static readonly (Figure Figure, string Name)[] s_percentiles =
        [(Figures.P50, "p50"), (Figures.P90, "p90"), (Figures.P99, "p99"), (Figures.P999, "p99.9")];

    public static Plot? Draw(ScenarioResult scenario)
    {
        if (scenario.Contestants.Count == 0 || !s_percentiles.All(p => scenario.Contestants[0].Figures.ContainsKey(p.Figure.Key)))
        {
            return null;
        }

        Plot plot = ChartStyle.New($"Latency: {scenario.Title}", "percentile of requests", "milliseconds, logarithmic; less is better");
        List<double> all = [];
        foreach (ContestantResult contestant in scenario.Contestants)
        {
            // The least that is told is a microsecond; 0 has no logarithm.
            double[] powers = [.. s_percentiles.Select(p => Math.Log10(Math.Max(0.001, contestant.Figures[p.Figure.Key].Spread.Median)))];
            all.AddRange(powers);
            double[] positions = [.. powers.Select(static (_, i) => (double)i)];
            var line = plot.Add.Scatter(positions, powers, ChartStyle.ColorOf(contestant.Transport));
            line.LineWidth = ChartStyle.LineWidth;
            line.MarkerSize = ChartStyle.MarkerSize;
            line.LegendText = contestant.Title;
        }

        ChartStyle.SetWords(plot.Axes.Bottom, s_percentiles.Select(static p => p.Name));
        ChartStyle.SetPowersOfTen(plot.Axes.Left, all);
        plot.ShowLegend(Edge.Right);
        return plot;
    }
}
