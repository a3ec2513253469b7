using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace StressTool;

/// <summary>
/// A byte stream that carries its own check: every byte follows from the stream's seed and its position, so bytes
/// that are lost, doubled, reordered or another connection's are found at the first of them. Stateless.
/// </summary>
internal static class Pattern
{
    private const int WordSize = sizeof(ulong);

    public static void Fill(Span<byte> span, ulong seed, long position)
    {
        int at = 0;
        for (; at < span.Length && (position + at) % WordSize != 0; at++)
        {
            span[at] = ByteAt(seed, position + at);
        }

        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(span[at..]);
        for (int i = 0; i < words.Length; i++, at += WordSize)
        {
            words[i] = Word(seed, (position + at) / WordSize);
        }

        for (; at < span.Length; at++)
        {
            span[at] = ByteAt(seed, position + at);
        }
    }

    /// <exception cref="StressFailureException">A byte is not the stream's.</exception>
    public static void Check(ReadOnlySpan<byte> span, ulong seed, long position)
    {
        Span<byte> expected = stackalloc byte[1024];
        while (!span.IsEmpty)
        {
            Span<byte> chunk = expected[..Math.Min(expected.Length, span.Length)];
            Fill(chunk, seed, position);
            int same = chunk.CommonPrefixLength(span);
            if (same < chunk.Length)
            {
                throw new StressFailureException($"wrong byte at position {position + same}: 0x{span[same]:x2} instead of 0x{chunk[same]:x2}");
            }

            span = span[chunk.Length..];
            position += chunk.Length;
        }
    }

    private static byte ByteAt(ulong seed, long position) =>
        (byte)(Word(seed, position / WordSize) >> (int)(position % WordSize * 8));

    /// <summary>The finalizer of splitmix64: neighbouring inputs give unrelated words.</summary>
    private static ulong Word(ulong seed, long index)
    {
        ulong z = seed + ((ulong)index + 1) * 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        z ^= z >> 31;
        return BitConverter.IsLittleEndian ? z : BinaryPrimitives.ReverseEndianness(z);
    }
}
