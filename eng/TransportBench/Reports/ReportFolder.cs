using TransportBench.Reports.Charts;
using TransportBench.Running;

namespace TransportBench.Reports;

/// <summary>Where the files of a run go. Written after each scenario, so that a run which is interrupted has not been for nothing.</summary>
/// <param name="path">Made if it isn't there.</param>
/// <param name="baseline">An earlier run to compare with, or null.</param>
internal sealed class ReportFolder(string path, RunResult? baseline)
{
    public string MarkdownPath => Path.Combine(path, "results.md");

    public string JsonPath => Path.Combine(path, "results.json");

    public void Write(RunResult result) => Write(result, charts: []);

    /// <summary>As <see cref="Write(RunResult)"/>, with charts, which take a few seconds to draw.</summary>
    public void WriteWithCharts(RunResult result)
    {
        Directory.CreateDirectory(path);
        Write(result, ChartFiles.Write(result, path));
    }

    private void Write(RunResult result, IReadOnlyList<string> charts)
    {
        Directory.CreateDirectory(path);
        File.WriteAllText(JsonPath, JsonReport.Format(result));
        string comparison = baseline is null ? "" : TextTable.Markdown(BaselineTable.Rows(baseline, result), wordColumns: 3);
        File.WriteAllText(MarkdownPath, MarkdownReport.Format(result, charts, comparison));
    }
}
