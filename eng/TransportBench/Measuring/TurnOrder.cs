namespace TransportBench.Measuring;

/// <summary>Who comes when in a round.</summary>
internal static class TurnOrder
{
    /// <summary>
    /// The contestants of a round, by number. Every other round goes the other way, and each two begin with the next
    /// one, so that nobody always comes first or always after the same.
    /// </summary>
    public static IReadOnlyList<int> OfRound(int round, int contestants)
    {
        IEnumerable<int> order = Enumerable.Range(0, contestants).Select(i => (i + (round / 2)) % contestants);
        return [.. round % 2 == 0 ? order : order.Reverse()];
    }
}
