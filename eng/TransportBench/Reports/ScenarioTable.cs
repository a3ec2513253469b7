using TransportBench.Measuring;
using TransportBench.Running;

namespace TransportBench.Reports;

/// <summary>A scenario's figures as rows of text: the first one has the titles, the first column the transports.</summary>
internal static class ScenarioTable
{
    private const int MostCalls = 8;

    public static IReadOnlyList<IReadOnlyList<string>> Rows(ScenarioResult result, bool withDetails)
    {
        Figure[] figures = [.. result.Figures.Where(f => withDetails || !f.IsDetail)];
        var rows = new List<IReadOnlyList<string>> { (string[])["transport", .. figures.SelectMany(f => Titles(result, f))] };
        foreach (ContestantResult contestant in result.Contestants)
        {
            rows.Add((string[])[contestant.Title, .. figures.SelectMany(f => Cells(result, contestant, f))]);
        }

        return rows;
    }

    /// <summary>A line for each transport whose system calls were counted.</summary>
    public static IEnumerable<string> SystemCallLines(ScenarioResult result) =>
        from contestant in result.Contestants
        let calls = contestant.SystemCalls ?? new Dictionary<string, double>()
        where calls.Count > 0
        let most = calls.Take(MostCalls).Select(static c => $"{c.Key} {Format.Number(c.Value)}")
        select $"{contestant.Title}: {Format.Number(calls.Values.Sum())} system calls a request: {string.Join(", ", most)}";

    private static IEnumerable<string> Titles(ScenarioResult result, Figure figure) =>
        result.Headlines.Contains(figure.Key) ? [figure.Title, "× Sockets"] : [figure.Title];

    private static IEnumerable<string> Cells(ScenarioResult result, ContestantResult contestant, Figure figure)
    {
        contestant.Figures.TryGetValue(figure.Key, out FigureResult? value);
        yield return value is null ? "" : Format.Number(value.Spread.Median);
        if (result.Headlines.Contains(figure.Key))
        {
            yield return contestant == result.Contestants[0] ? "1" : Format.Ratio(value?.Ratio);
        }
    }
}
