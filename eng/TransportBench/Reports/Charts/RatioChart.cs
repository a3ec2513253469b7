using System.Globalization;
using ScottPlot;
using ScottPlot.Plottables;
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

    // A ratio beyond this would squeeze all others; its number is written at the edge instead.
    private const double GreatestShown = 2.5;

    public static Plot? Draw(RunResult result, Figure figure)
    {
        ScenarioResult[] scenarios = [.. result.Scenarios.Where(s => s.Headlines.Contains(figure.Key) && s.Contestants.Count > 1)];
        if (scenarios.Length == 0)
        {
            return null;
        }

        string direction = figure.Better == Better.Lower ? "less is better" : "more is better";
        Plot plot = ChartStyle.New($"{figure.Title}: ratio to Sockets", $"× Sockets, {direction}", "");
        string[] transports = [.. scenarios.SelectMany(static s => s.Contestants.Skip(1)).Select(static c => c.Transport).Distinct().Where(static t => t != Control)];

        double greatest = Greatest(scenarios, figure);

        // From the top down, so the first one has the greatest y.
        ScenarioResult[] rows = [.. scenarios.Reverse()];
        for (int row = 0; row < rows.Length; row++)
        {
            DrawNoise(plot, Ratio(rows[row], Control, figure), row, greatest);
            for (int i = 0; i < transports.Length; i++)
            {
                double y = row + ((((transports.Length - 1) / 2.0) - i) * RowHeight / transports.Length);
                DrawRatio(plot, Ratio(rows[row], transports[i], figure), ChartStyle.ColorOf(transports[i]), y, greatest);
            }
        }

        plot.Add.VerticalLine(1, width: 1.5f, color: ChartStyle.Reference);
        AddLegend(plot, scenarios, transports);
        ChartStyle.SetWords(plot.Axes.Left, rows.Select(static r => r.Title));
        plot.Axes.SetLimitsX(0, greatest);
        plot.Axes.SetLimitsY(-0.6, rows.Length - 0.4);
        return plot;
    }

    private static void DrawNoise(Plot plot, Spread? control, int row, double greatest)
    {
        if (control is not null)
        {
            var field = plot.Add.Rectangle(control.Min, Math.Min(control.Max, greatest), row - (RowHeight / 2), row + (RowHeight / 2));
            field.FillColor = ChartStyle.Noise;
            field.LineWidth = 0;
            WriteAtTheEdge(plot, control.Max, row - (RowHeight / 3), ChartStyle.Reference, greatest);
        }
    }

    private static void DrawRatio(Plot plot, Spread? ratio, Color color, double y, double greatest)
    {
        if (ratio is not null)
        {
            plot.Add.Line(ratio.Min, y, Math.Min(ratio.Max, greatest), y).LineStyle = new LineStyle(ChartStyle.LineWidth, color);
            if (ratio.Median <= greatest)
            {
                plot.Add.Marker(ratio.Median, y, MarkerShape.FilledCircle, ChartStyle.MarkerSize, color);
            }

            WriteAtTheEdge(plot, ratio.Max, y, color, greatest);
        }
    }

    private static void WriteAtTheEdge(Plot plot, double ratio, double y, Color color, double greatest)
    {
        if (ratio > greatest)
        {
            Text text = plot.Add.Text(string.Create(CultureInfo.InvariantCulture, $"{ratio:0.0} →"), greatest, y);
            text.LabelAlignment = Alignment.MiddleRight;
            text.LabelFontColor = color;
            text.LabelFontSize = ChartStyle.TickSize;
        }
    }

    private static void AddLegend(Plot plot, ScenarioResult[] scenarios, string[] transports)
    {
        foreach (string transport in transports)
        {
            plot.Legend.ManualItems.Add(new LegendItem
            {
                LabelText = TitleOf(transport),
                MarkerShape = MarkerShape.FilledCircle,
                MarkerSize = ChartStyle.MarkerSize,
                MarkerColor = ChartStyle.ColorOf(transport),
            });
        }

        if (scenarios.Any(static scenario => scenario.Contestants.Any(static contestant => contestant.Transport == Control)))
        {
            plot.Legend.ManualItems.Add(new LegendItem
            {
                LabelText = TitleOf(Control),
                MarkerShape = MarkerShape.FilledSquare,
                MarkerSize = ChartStyle.MarkerSize * 1.5f,
                MarkerColor = ChartStyle.Noise,
            });
        }

        plot.ShowLegend(Edge.Right);

        string TitleOf(string transport) => scenarios.SelectMany(static s => s.Contestants).First(c => c.Transport == transport).Title;
    }

    private static double Greatest(ScenarioResult[] scenarios, Figure figure)
    {
        const double Margin = 1.05;
        double greatest = scenarios.SelectMany(static s => s.Contestants)
            .Max(c => c.Figures.GetValueOrDefault(figure.Key)?.Ratio?.Max ?? 1);
        return Math.Clamp(greatest * Margin, 1.4, GreatestShown);
    }

    private static Spread? Ratio(ScenarioResult scenario, string transport, Figure figure) =>
        scenario.Contestants.FirstOrDefault(c => c.Transport == transport)?.Figures.GetValueOrDefault(figure.Key)?.Ratio;
}
