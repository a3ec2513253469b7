namespace TransportBench.Measuring;

/// <summary>The figures of one turn.</summary>
internal sealed class Sample
{
    private readonly Dictionary<string, double> _values = [];

    public double this[Figure figure]
    {
        get => _values[figure.Key];
        set => _values[figure.Key] = value;
    }

    /// <summary>Why the turn doesn't count: the client was the limit; see <see cref="Measuring.ClientLimit"/>. Null if it was not.</summary>
    public string? ClientLimit { get; init; }

    public bool Has(Figure figure) => _values.ContainsKey(figure.Key);
}
