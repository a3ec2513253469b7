namespace RandomEnds.Plans;

/// <summary>
/// What the two sides send: a stream of random bytes a direction, the same in every run, and each case begins at a
/// place of its own. Bytes that are lost, doubled, swapped, or another connection's, are not those of their place.
/// </summary>
internal static class Pattern
{
    /// <summary>A case begins before this.</summary>
    public const int MaxStart = 64 * 1024;

    private const int Longest = 1024 * 1024;

    public static ReadOnlyMemory<byte> ToServer { get; } = Create(1);

    public static ReadOnlyMemory<byte> ToClient { get; } = Create(2);

    private static byte[] Create(int seed)
    {
        byte[] bytes = new byte[MaxStart + Longest];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
