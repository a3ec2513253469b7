using System.Buffers.Binary;
using System.Numerics;

namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>The values of a version 2 header: a type of one byte, a length of two, and that many bytes, one behind the other.</summary>
internal static class Values
{
    private const int PrefixLength = 3;

    /// <summary>Whether the values fill the header to its end, and the checksum, if one of them is, is right.</summary>
    /// <param name="header">The whole header.</param>
    /// <param name="offset">Where the values begin.</param>
    public static HeaderError Check(ReadOnlySpan<byte> header, int offset)
    {
        int checksum = -1;
        int at = offset;
        while (at < header.Length)
        {
            if (header.Length - at < PrefixLength)
            {
                return HeaderError.Tlvs;
            }

            int value = at + PrefixLength;
            int length = BinaryPrimitives.ReadUInt16BigEndian(header[(at + 1)..]);
            if (length > header.Length - value)
            {
                return HeaderError.Tlvs;
            }

            if (header[at] == ProxyProtocolTlv.Crc32C)
            {
                // One sum can't be in the place of zeros for two.
                if (length != sizeof(uint) || checksum >= 0)
                {
                    return HeaderError.Tlvs;
                }

                checksum = value;
            }

            at = value + length;
        }

        return checksum < 0 || Crc32C(header, checksum) == BinaryPrimitives.ReadUInt32BigEndian(header[checksum..]) ? HeaderError.None : HeaderError.Checksum;
    }

    /// <param name="values">Well formed, as <see cref="Check"/> tells.</param>
    /// <param name="type">The type that is looked for.</param>
    /// <param name="value">The first one of it.</param>
    public static bool TryFind(ReadOnlyMemory<byte> values, byte type, out ReadOnlyMemory<byte> value)
    {
        while (!values.IsEmpty)
        {
            int end = PrefixLength + BinaryPrimitives.ReadUInt16BigEndian(values.Span[1..]);
            if (values.Span[0] == type)
            {
                value = values[PrefixLength..end];
                return true;
            }

            values = values[end..];
        }

        value = default;
        return false;
    }

    /// <summary>The CRC32c (RFC 4960, appendix B) of a header in whose place for it there are zeros.</summary>
    internal static uint Crc32C(ReadOnlySpan<byte> header, int checksum)
    {
        uint crc = Append(uint.MaxValue, header[..checksum]);
        crc = BitOperations.Crc32C(crc, 0u);
        return ~Append(crc, header[(checksum + sizeof(uint))..]);
    }

    private static uint Append(uint crc, ReadOnlySpan<byte> data)
    {
        while (data.Length >= sizeof(ulong))
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(data));
            data = data[sizeof(ulong)..];
        }

        foreach (byte one in data)
        {
            crc = BitOperations.Crc32C(crc, one);
        }

        return crc;
    }
}
