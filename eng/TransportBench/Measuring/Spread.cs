namespace TransportBench.Measuring;

/// <summary>The middle of several values, and how far they stray.</summary>
internal sealed record Spread(double Median, double Min, double Max)
{
    /// <exception cref="ArgumentException">There are none.</exception>
    public static Spread Of(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        if (sorted.Length == 0)
        {
            throw new ArgumentException("There are no values.", nameof(values));
        }

        double median = (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
        return new Spread(median, sorted[0], sorted[^1]);
    }

    /// <summary>
    /// The ratio of each value to the reference's of the same round, because a round's noise is in both of them; null if
    /// a reference is 0.
    /// </summary>
    public static Spread? OfRatios(IReadOnlyList<double> values, IReadOnlyList<double> reference) =>
        reference.Any(static r => r == 0) ? null : Of(values.Zip(reference, static (value, r) => value / r));

    /// <summary>Whether some value may be of either: then a difference of the two may be noise.</summary>
    public bool Overlaps(Spread other) => Min <= other.Max && other.Min <= Max;
}
