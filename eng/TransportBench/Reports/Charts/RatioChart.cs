using ScottPlot;
using TransportBench.Measuring;
using TransportBench.Running;

namespace TransportBench.Reports.Charts;

/// <summary>
/// A figure's ratio to Sockets by scenario: a point for each transport with a bar from the least to the greatest of its
/// rounds, on a grey field that shows how far Sockets strays from itself.
/// </summary>
internal static class RatioChart
{
    private const double RowHeight = 0.7;
    private const string Control = "sockets-control";

    public static Plot? Draw(RunResult result, Figure figure)
    {
        ScenarioResult[] scenarios = [.. result.Scenarios.Where(s => s.Headlines.Contains(figure.Key) && s.Contestants.Count > 1)];
        if (scenarios.Length == 0)
        {
            return null;
        }

        string direction = figure.Better == Better.Lower ? "less is better" : "more is better";
        Plot plot = ChartStyle.New($"{figure.Title}: ratio to Sockets", $"× Sockets, {direction}; grey: Sockets against itself", "");
        string[] transports = [.. scenarios.SelectMany(static s => s.Contestants.Skip(1)).Select(static c => c.Transport).Distinct().Where(static t => t != Control)];

        // From the top down, so the first one has the greatest y.
        ScenarioResult[] rows = [.. scenarios.Reverse()];
        for (int row = 0; row < rows.Length; row++)
        {
            DrawNoise(plot, Ratio(rows[row], Control, figure), row);
            for (int i = 0; i < transports.Length; i++)
            {
                double y = row + ((((transports.Length - 1) / 2.0) - i) * RowHeight / transports.Length);
                DrawRatio(plot, Ratio(rows[row], transports[i], figure), ChartStyle.ColorOf(transports[i]), y);
            }
        }

        plot.Add.VerticalLine(1, width: 1.5f, color: ChartStyle.Reference);
        AddLegend(plot, scenarios, transports);
        ChartStyle.SetWords(plot.Axes.Left, rows.Select(static r => r.Title));
        plot.Axes.SetLimitsX(0, Greatest(scenarios, figure));
        plot.Axes.SetLimitsY(-0.6, rows.Length - 0.4);
        return plot;
    }

    private static void DrawNoise(Plot plot, Spread? control, int row)
    {
        if (control is not null)
        {
            var field = plot.Add.Rectangle(control.Min, control.Max, row - (RowHeight / 2), row + (RowHeight / 2));
            field.FillColor = ChartStyle.Noise;
            field.LineWidth = 0;
        }
    }

    private static void DrawRatio(Plot plot, Spread? ratio, Color color, double y)
    {
        if (ratio is not null)
        {
            plot.Add.Line(ratio.Min, y, ratio.Max, y).LineStyle = new LineStyle(ChartStyle.LineWidth, color);
            plot.Add.Marker(ratio.Median, y, MarkerShape.FilledCircle, ChartStyle.MarkerSize, color);
        }
    }

    private static void AddLegend(Plot plot, ScenarioResult[] scenarios, string[] transports)
    {
        foreach (string transport in transports)
        {
            plot.Legend.ManualItems.Add(new LegendItem
            {
                LabelText = scenarios.SelectMany(static s => s.Contestants).First(c => c.Transport == transport).Title,
                MarkerShape = MarkerShape.FilledCircle,
                MarkerSize = ChartStyle.MarkerSize,
                MarkerColor = ChartStyle.ColorOf(transport),
            });
        }

        plot.ShowLegend(Edge.Right);
    }

    // A single round that went astray must not squeeze everything else.
    private static double Greatest(ScenarioResult[] scenarios, Figure figure)
    {
        const double Margin = 1.15;
        double median = scenarios.SelectMany(static s => s.Contestants)
            .Max(c => c.Figures.GetValueOrDefault(figure.Key)?.Ratio?.Median ?? 1);
        return Math.Max(1.4, median * Margin);
    }

    private static Spread? Ratio(ScenarioResult scenario, string transport, Figure figure) =>
        scenario.Contestants.FirstOrDefault(c => c.Transport == transport)?.Figures.GetValueOrDefault(figure.Key)?.Ratio;
}
