using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Text;

namespace StressTool.ProxyProtocol;

/// <summary>A header as a proxy would send it, and what a server has to make of it. Written from the specification, and not by the parser's means.</summary>
/// <param name="Bytes">The header.</param>
/// <param name="Source">The client it tells; null: the connection's own.</param>
/// <param name="Destination">Where the client connected to; null where <paramref name="Source"/> is.</param>
internal sealed record Header(byte[] Bytes, IPEndPoint? Source, IPEndPoint? Destination);

/// <summary>Makes valid headers of every kind, and spoils them.</summary>
internal static class HeaderMaker
{
    private const int Crc32CType = 3;

    private static readonly byte[] s_signature = "\r\n\r\n\0\r\nQUIT\n"u8.ToArray();

    public static Header Make(Random random) => random.Next(2) == 0 ? MakeText(random) : MakeBinary(random);

    /// <summary>What may still be a header, and mostly is none.</summary>
    public static byte[] Spoil(Random random, byte[] header)
    {
        List<byte> bytes = [.. header];
        for (int times = random.Next(1, 4); times > 0; times--)
        {
            int at = random.Next(bytes.Count + 1);
            int count = Math.Min(random.Next(1, 20), bytes.Count - at);
            switch (random.Next(5))
            {
                case 0 when count > 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1 when count > 0:
                    // Where version 2 has its version, family and length.
                    bytes[Math.Min(12 + random.Next(4), bytes.Count - 1)] = (byte)random.Next(256);
                    break;
                case 2:
                    bytes.RemoveRange(at, count);
                    break;
                case 3:
                    bytes.InsertRange(at, RandomBytes(random, random.Next(1, 20)));
                    break;
                default:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
            }
        }

        return [.. bytes];
    }

    private static Header MakeText(Random random)
    {
        if (random.Next(4) == 0)
        {
            return new Header(Encoding.ASCII.GetBytes(random.Next(2) == 0 ? "PROXY UNKNOWN\r\n" : "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), null, null);
        }

        bool isIPv6 = random.Next(2) == 0;
        (IPEndPoint source, IPEndPoint destination) = (RandomEndPoint(random, isIPv6), RandomEndPoint(random, isIPv6));
        string line = string.Create(
            CultureInfo.InvariantCulture,
            $"PROXY {(isIPv6 ? "TCP6" : "TCP4")} {source.Address} {destination.Address} {source.Port} {destination.Port}\r\n");
        return new Header(Encoding.ASCII.GetBytes(line), source, destination);
    }

    private static Header MakeBinary(Random random)
    {
        // Family and protocol: what a stream of the Internet has is told, everything else leaves the connection's own addresses.
        byte family = random.Next(8) switch { 0 => 0x00, 1 => 0x12, 2 => 0x31, 3 => 0x22, < 6 => 0x11, _ => 0x21 };
        bool isLocal = random.Next(8) == 0;
        int size = (family >> 4) switch { 1 => 4, 2 => 16, _ => 0 };
        (IPEndPoint source, IPEndPoint destination) = (RandomEndPoint(random, size == 16), RandomEndPoint(random, size == 16));
        List<byte> bytes = [.. s_signature, (byte)(isLocal ? 0x20 : 0x21), family, 0, 0];
        if (size != 0)
        {
            bytes.AddRange([.. source.Address.GetAddressBytes(), .. destination.Address.GetAddressBytes(), .. BigEndian(source.Port), .. BigEndian(destination.Port)]);
        }
        else if (family == 0x31)
        {
            bytes.AddRange(new byte[2 * 108]);
        }

        for (int values = random.Next(4); values > 0; values--)
        {
            AddValue(bytes, (byte)random.Next(0xE0, 0xF0), RandomBytes(random, random.Next(10) == 0 ? random.Next(600) : random.Next(20)));
        }

        int checksum = random.Next(2) == 0 ? bytes.Count + 3 : 0;
        if (checksum != 0)
        {
            AddValue(bytes, Crc32CType, new byte[4]);
        }

        byte[] header = [.. bytes];
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(14), (ushort)(header.Length - 16));
        if (checksum != 0)
        {
            BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(checksum), Crc32C(header));
        }

        bool isTold = !isLocal && family is 0x11 or 0x21;
        return new Header(header, isTold ? source : null, isTold ? destination : null);
    }

    private static void AddValue(List<byte> bytes, byte type, byte[] value) => bytes.AddRange([type, .. BigEndian(value.Length), .. value]);

    private static byte[] BigEndian(int number) => [(byte)(number >> 8), (byte)number];

    private static IPEndPoint RandomEndPoint(Random random, bool isIPv6) =>
        new(new IPAddress(RandomBytes(random, isIPv6 ? 16 : 4)), random.Next(ushort.MaxValue + 1));

    private static byte[] RandomBytes(Random random, int count)
    {
        byte[] bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }

    // RFC 4960, appendix B, bit by bit.
    private static uint Crc32C(byte[] bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte one in bytes)
        {
            crc ^= one;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ ((crc & 1) * 0x82F63B78);
            }
        }

        return ~crc;
    }
}
