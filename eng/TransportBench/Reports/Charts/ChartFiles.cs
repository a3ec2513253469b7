using ScottPlot;
using TransportBench.Measuring;
using TransportBench.Running;

namespace TransportBench.Reports.Charts;

/// <summary>Draws all charts that a run has figures for, as SVG to be shown and as PNG to be sent.</summary>
internal static class ChartFiles
{
    private const int Width = 1000;
    private const int Height = 560;
    private const int HeightOfRow = 46;
    private const int HeightBesideRows = 150;

    // Where waiting tells transports apart; elsewhere it follows from the throughput.
    private static readonly string[] s_latencies = ["latency-1", "latency-64", "latency-512", "json-10000", "open-10k", "open-40pct", "open-80pct", "beside-idle", "sleep-1ms"];

    /// <summary>Returns the names of the SVG files.</summary>
    public static IReadOnlyList<string> Write(RunResult result, string folder)
    {
        var names = new List<string>();
        string? reason = Quotable.ReasonAgainst(result);
        void Save(string name, Plot? plot, int height)
        {
            if (plot is not null)
            {
                if (reason is not null)
                {
                    ChartStyle.Warn(plot, reason);
                }

                plot.SaveSvg(Path.Combine(folder, $"{name}.svg"), Width, height);
                plot.SavePng(Path.Combine(folder, $"{name}.png"), Width, height);
                names.Add($"{name}.svg");
            }
        }

        foreach ((string name, Figure figure) in ((string, Figure)[])[("ratio-cpu", Figures.ProcessorTime), ("ratio-throughput", Figures.RequestsPerSecond)])
        {
            int rows = result.Scenarios.Count(s => s.Headlines.Contains(figure.Key));
            Save(name, RatioChart.Draw(result, figure), HeightBesideRows + (HeightOfRow * rows));
        }

        foreach (ScenarioResult scenario in result.Scenarios)
        {
            Save("blocking", BlockingChart.Draw(scenario), Height);
            if (s_latencies.Contains(scenario.Name))
            {
                Save($"percentiles-{scenario.Name}", LatencyChart.Draw(scenario), Height);
            }
        }

        Save("idle-memory", IdleMemoryChart.Draw(result), Height);
        return names;
    }
}
