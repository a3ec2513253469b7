using TransportBench.Measuring;
using TransportBench.Scenarios;
using TransportBench.Servers;

namespace TransportBench.Running;

/// <summary>What a scenario yielded.</summary>
/// <param name="Name">The scenario's.</param>
/// <param name="Title">As in tables.</param>
/// <param name="Figures">In the order of the table.</param>
/// <param name="Headlines">Keys of the figures that have ratios.</param>
/// <param name="Contestants">In the order of the table; Sockets first.</param>
/// <param name="Failure">Why there are no figures; null if there are.</param>
/// <param name="Notes">As <see cref="Scenario.Notes"/>; null in old files.</param>
internal sealed record ScenarioResult(
    string Name,
    string Title,
    IReadOnlyList<Figure> Figures,
    IReadOnlyList<string> Headlines,
    IReadOnlyList<ContestantResult> Contestants,
    string? Failure,
    IReadOnlyList<string>? Notes = null)
{
    public static ScenarioResult Failed(Scenario scenario, string failure) => Of(scenario, [], failure);

    /// <param name="scenario">What was run.</param>
    /// <param name="transports">Sockets first.</param>
    /// <param name="samples">By transport and round.</param>
    /// <param name="discarded">By transport, why turns were discarded.</param>
    /// <param name="systemCalls">Calls a request, of those transports for which they were counted.</param>
    /// <param name="runtimes">By transport, what its servers say that they run on.</param>
    public static ScenarioResult Of(
        Scenario scenario,
        IReadOnlyList<Transport> transports,
        Sample[][] samples,
        IReadOnlyList<string>[] discarded,
        IReadOnlyDictionary<Transport, IReadOnlyDictionary<string, double>> systemCalls,
        string?[] runtimes)
    {
        bool areSeveral = transports.Any(static t => t.Runtime is not null);
        return Of(scenario, [.. transports.Select(Contestant)], failure: null);

        ContestantResult Contestant(Transport transport, int index) => new(
            transport.Name,
            areSeveral ? $"{transport.Kind.Title}, {runtimes[index] ?? "runtime not told"}" : transport.Title,
            scenario.Figures.Where(samples[index][0].Has).ToDictionary(
                static figure => figure.Key,
                figure => FigureOf(figure, samples[index], samples[0], scenario.Headlines.Contains(figure))),
            systemCalls.GetValueOrDefault(transport),
            scenario.DiscardsTurns ? discarded[index] : null,
            runtimes[index]);
    }

    private static ScenarioResult Of(Scenario scenario, IReadOnlyList<ContestantResult> contestants, string? failure) => new(
        scenario.Name, scenario.Title, scenario.Figures, [.. scenario.Headlines.Select(static h => h.Key)], contestants, failure, scenario.Notes);

    private static FigureResult FigureOf(Figure figure, Sample[] samples, Sample[] reference, bool isCompared)
    {
        double[] values = [.. samples.Select(s => s[figure])];
        Spread? ratio = isCompared ? Spread.OfRatios(values, [.. reference.Select(s => s[figure])]) : null;
        return new FigureResult(values, Spread.Of(values), ratio);
    }
}
