using System.Buffers;

namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>
/// Tells whether the first bytes of a connection are a PROXY protocol header, and reads it (HAProxy's <c>doc/proxy-protocol.txt</c>). It keeps
/// nothing and consumes nothing: whoever reads the connection asks again with more, from the first byte on. Any thread may call it.
/// </summary>
internal static class HeaderParser
{
    /// <param name="buffer">All bytes so far; what is behind the header is not looked at.</param>
    /// <param name="maxSize">The largest header of version 2, in bytes.</param>
    public static HeaderResult Parse(in ReadOnlySequence<byte> buffer, int maxSize)
    {
        // The two signatures differ in their first byte, and both end before this many bytes.
        Span<byte> space = stackalloc byte[BinaryHeader.FixedLength];
        ReadOnlySpan<byte> start = First(buffer, space);
        if (BeginsAs(start, TextHeader.Signature))
        {
            return start.Length < TextHeader.Signature.Length ? HeaderResult.NeedMore : TextHeader.Parse(buffer);
        }

        if (BeginsAs(start, BinaryHeader.Signature))
        {
            return start.Length < BinaryHeader.FixedLength ? HeaderResult.NeedMore : BinaryHeader.Parse(buffer, start, maxSize);
        }

        return HeaderResult.NotAHeader;
    }

    /// <summary>The first bytes in one piece, as many as there are and <paramref name="space"/> has room for; copied only if they are in several.</summary>
    internal static ReadOnlySpan<byte> First(in ReadOnlySequence<byte> buffer, Span<byte> space)
    {
        int length = (int)Math.Min(buffer.Length, space.Length);
        ReadOnlySpan<byte> first = buffer.FirstSpan;
        if (first.Length >= length)
        {
            return first[..length];
        }

        buffer.Slice(0, length).CopyTo(space);
        return space[..length];
    }

    // Of a beginning that is shorter than the signature, whether it may become one.
    private static bool BeginsAs(ReadOnlySpan<byte> start, ReadOnlySpan<byte> signature)
    {
        int length = Math.Min(start.Length, signature.Length);
        return start[..length].SequenceEqual(signature[..length]);
    }
}
