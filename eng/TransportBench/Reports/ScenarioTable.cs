using System.Globalization;
using TransportBench.Measuring;
using TransportBench.Running;
using TransportBench.Servers;

namespace TransportBench.Reports;

/// <summary>A scenario's figures as rows of text: the first one has the titles, the first column the transports.</summary>
internal static class ScenarioTable
{
    private const int MostCalls = 8;
    private const string ClientLimitMark = "(limit)";

    public static IReadOnlyList<IReadOnlyList<string>> Rows(ScenarioResult result, bool withDetails)
    {
        Figure[] figures = [.. result.Figures.Where(f => withDetails || !f.IsDetail)];
        bool discards = result.Contestants.Any(static c => c.Discarded is not null);
        var rows = new List<IReadOnlyList<string>>
        {
            (string[])["transport", .. figures.SelectMany(f => Titles(result, f)), .. discards ? ["turns discarded"] : (string[])[]],
        };
        foreach (ContestantResult contestant in result.Contestants)
        {
            string[] count = discards ? [(contestant.Discarded?.Count ?? 0).ToString(CultureInfo.InvariantCulture)] : [];
            rows.Add((string[])[contestant.Title, .. figures.SelectMany(f => Cells(result, contestant, f)), .. count]);
        }

        return rows;
    }

    /// <summary>What has to be said about the figures, a line each.</summary>
    public static IEnumerable<string> Lines(ScenarioResult result) =>
        [.. result.Notes ?? [], .. OtherRuntimeLines(result), .. DiscardLines(result), .. ClientLimitLines(result), .. SystemCallLines(result)];

    // The table compares all with Sockets on this program's runtime. On another one the stock transport is another one too.
    private static IEnumerable<string> OtherRuntimeLines(ScenarioResult result) =>
        from contestant in result.Contestants
        let name = contestant.Transport.Split('@')
        where name.Length == 2 && name[0] != Transport.Sockets.Name
        let sockets = result.Contestants.First(c => c.Transport == $"{Transport.Sockets.Name}@{name[1]}")
        let ratios = from figure in result.Figures
                     where !figure.IsDetail && figure.Better != Better.Neither && contestant.Figures.ContainsKey(figure.Key)
                     select $"{figure.Title} {Format.Ratio(Spread.OfRatios(contestant.Figures[figure.Key].Values, sockets.Figures[figure.Key].Values))}"
        select $"{contestant.Title}, × {sockets.Title}: {string.Join(", ", ratios)}";

    // The same reason for several transports or turns is said each time, with its own figures.
    private static IEnumerable<string> DiscardLines(ScenarioResult result) =>
        from contestant in result.Contestants
        let reasons = contestant.Discarded ?? []
        where reasons.Count > 0
        select $"{contestant.Title}: turns discarded because the client was the limit: {string.Join("; ", reasons)}";

    private static IEnumerable<string> ClientLimitLines(ScenarioResult result) =>
        result.Contestants.Any(IsClientLimit)
            ? [$"{ClientLimitMark}: the client was the limit, and requests/s and latency are about it; CPU a request is not"]
            : [];

    private static bool IsClientLimit(ContestantResult contestant) =>
        contestant.Figures.GetValueOrDefault(Figures.ClientBusy.Key)?.Spread.Median >= ClientLimit.SaturatedPercent;

    private static IEnumerable<string> SystemCallLines(ScenarioResult result) =>
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
        string mark = figure.Key == Figures.ClientBusy.Key && IsClientLimit(contestant) ? $" {ClientLimitMark}" : "";
        yield return value is null ? "" : Format.Number(value.Spread.Median) + mark;
        if (result.Headlines.Contains(figure.Key))
        {
            yield return contestant == result.Contestants[0] ? "1" : Format.Ratio(value?.Ratio);
        }
    }
}
