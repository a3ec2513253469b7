using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Text;
using KestrelEpollTransport.ProxyProtocol;

namespace KestrelEpollTransport.FunctionalTests.ProxyProtocol;

/// <summary>Headers as a proxy would write them, byte by byte from the specification.</summary>
internal static class HeaderBytes
{
    public const byte Tcp4 = 0x11;
    public const byte Tcp6 = 0x21;

    public static readonly IPEndPoint Source = new(IPAddress.Parse("192.0.2.1"), 56324);
    public static readonly IPEndPoint Destination = new(IPAddress.Parse("198.51.100.7"), 443);

    private static readonly byte[] s_signature = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A];

    public static byte[] Text { get; } = Encoding.ASCII.GetBytes($"PROXY TCP4 {Source.Address} {Destination.Address} {Source.Port} {Destination.Port}\r\n");

    public static byte[] OfVersion(int version) => version == 1 ? Text : Proxied();

    /// <summary>A header of version 2 with the command PROXY for TCP over IPv4.</summary>
    public static byte[] Proxied(params byte[][] tlvs) => Binary(0x21, Tcp4, [Addresses(Source, Destination), .. tlvs]);

    /// <summary>The same with a checksum in front of the other values.</summary>
    public static byte[] ProxiedWithChecksum(params byte[][] tlvs)
    {
        byte[] header = Proxied([Tlv(ProxyProtocolTlv.Crc32C, 0, 0, 0, 0), .. tlvs]);
        const int At = 16 + 12 + 3;
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(At), SlowCrc32C(header));
        return header;
    }

    public static byte[] Binary(byte versionAndCommand, byte family, params byte[][] parts)
    {
        byte[] rest = [.. parts.SelectMany(static part => part)];
        return [.. s_signature, versionAndCommand, family, (byte)(rest.Length >> 8), (byte)rest.Length, .. rest];
    }

    public static byte[] Tlv(byte type, params byte[] value) => [type, (byte)(value.Length >> 8), (byte)value.Length, .. value];

    public static byte[] Tlv(byte type, string value) => Tlv(type, Encoding.UTF8.GetBytes(value));

    public static byte[] Addresses(IPEndPoint source, IPEndPoint destination) =>
    [
        .. source.Address.GetAddressBytes(), .. destination.Address.GetAddressBytes(),
        (byte)(source.Port >> 8), (byte)source.Port, (byte)(destination.Port >> 8), (byte)destination.Port,
    ];

    /// <summary>The bytes in pieces that end at the given places.</summary>
    public static ReadOnlySequence<byte> InPieces(ReadOnlyMemory<byte> data, params int[] ends)
    {
        var first = new Piece(data[..(ends.Length == 0 ? data.Length : ends[0])]);
        Piece last = first;
        for (int i = 0; i < ends.Length; i++)
        {
            last = last.Append(data[ends[i]..(i + 1 < ends.Length ? ends[i + 1] : data.Length)]);
        }

        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    public static HeaderResult Parse(ReadOnlyMemory<byte> data, int maxSize = 4096) => HeaderParser.Parse(new ReadOnlySequence<byte>(data), maxSize);

    /// <summary>Bit by bit, as the polynomial says, so that it shares nothing with what it checks.</summary>
    public static uint SlowCrc32C(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte one in data)
        {
            crc ^= one;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) == 0 ? crc >> 1 : (crc >> 1) ^ 0x82F63B78;
            }
        }

        return ~crc;
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(ReadOnlyMemory<byte> memory) => Memory = memory;

        public Piece Append(ReadOnlyMemory<byte> memory)
        {
            var next = new Piece(memory) { RunningIndex = RunningIndex + Memory.Length };
            Next = next;
            return next;
        }
    }
}
