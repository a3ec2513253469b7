using ScottPlot;
using TransportBench.Measuring;
using TransportBench.Running;
using TransportBench.Scenarios;

namespace TransportBench.Reports.Charts;

/// <summary>The managed memory of an idle connection: a group of bars for each kind of connection.</summary>
internal static class IdleMemoryChart
{
    private const double GroupWidth = 0.8;

    public static Plot? Draw(RunResult result)
    {
        Figure figure = IdleMemoryScenario.HeapOfConnection;
        ScenarioResult[] scenarios = [.. result.Scenarios.Where(s => s.Headlines.Contains(figure.Key) && s.Contestants.Count > 0)];
        if (scenarios.Length == 0)
        {
            return null;
        }

        Plot plot = ChartStyle.New("Memory of an idle connection", "", "managed bytes a connection; less is better");
        string[] transports = [.. scenarios.SelectMany(static s => s.Contestants).Select(static c => c.Transport).Distinct()];
        double width = GroupWidth / transports.Length;
        for (int i = 0; i < transports.Length; i++)
        {
            Bar[] bars = [.. Bars(scenarios, transports[i], figure, offset: (i - ((transports.Length - 1) / 2.0)) * width, width)];
            var group = plot.Add.Bars(bars);
            group.LegendText = scenarios.SelectMany(static s => s.Contestants).First(c => c.Transport == transports[i]).Title;
            group.ValueLabelStyle.FontSize = 12;
        }

        ChartStyle.SetWords(plot.Axes.Bottom, scenarios.Select(static s => s.Title));
        plot.Axes.Margins(bottom: 0, top: 0.15);
        plot.ShowLegend(Edge.Right);
        return plot;
    }

    private static IEnumerable<Bar> Bars(ScenarioResult[] scenarios, string transport, Figure figure, double offset, double width)
    {
        for (int i = 0; i < scenarios.Length; i++)
        {
            if (scenarios[i].Contestants.FirstOrDefault(c => c.Transport == transport) is { } contestant)
            {
                double bytes = contestant.Figures[figure.Key].Spread.Median;
                yield return new Bar
                {
                    Position = i + offset,
                    Value = bytes,
                    Size = width * 0.9,
                    FillColor = ChartStyle.ColorOf(transport),
                    LineWidth = 0,
                    ValueLabel = Format.Number(bytes),
                };
            }
        }
    }
}
