using System.Globalization;
using ScottPlot;
using TransportBench.Running;
using TransportBench.Scenarios;

namespace TransportBench.Reports.Charts;

/// <summary>The throughput of cheap requests over the number of handlers that block meanwhile.</summary>
internal static class BlockingChart
{
    public static Plot? Draw(ScenarioResult scenario)
    {
        string[] keys = [.. BlockingSweepScenario.Steps.Select(static s => BlockingSweepScenario.FigureOf(s).Key)];
        if (scenario.Contestants.Count == 0 || !keys.All(scenario.Contestants[0].Figures.ContainsKey))
        {
            return null;
        }

        Plot plot = ChartStyle.New(
            "Cheap requests beside handlers that sleep 50 ms", "handlers that block at the same time", "cheap requests/s, logarithmic; more is better");
        List<double> all = [];
        foreach (ContestantResult contestant in scenario.Contestants)
        {
            double[] powers = [.. keys.Select(key => Math.Log10(Math.Max(1, contestant.Figures[key].Spread.Median)))];
            all.AddRange(powers);
            double[] positions = [.. powers.Select(static (_, i) => (double)i)];
            var line = plot.Add.Scatter(positions, powers, ChartStyle.ColorOf(contestant.Transport));
            line.LineWidth = ChartStyle.LineWidth;
            line.MarkerSize = ChartStyle.MarkerSize;
            line.LegendText = contestant.Title;
        }

        ChartStyle.SetWords(plot.Axes.Bottom, BlockingSweepScenario.Steps.Select(static s => s.ToString(CultureInfo.InvariantCulture)));
        ChartStyle.SetPowersOfTen(plot.Axes.Left, all);
        plot.ShowLegend(Edge.Right);
        return plot;
    }
}
