using System.Buffers;
using System.Buffers.Binary;
using System.Net;

namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>
/// Version 2: 16 bytes (signature, version and command, family and protocol, length of the rest), addresses, values. Section 2.2 of the
/// specification.
/// </summary>
internal static class BinaryHeader
{
    /// <summary>The part that every header has, in bytes.</summary>
    public const int FixedLength = 16;

    private const int Version = 2;
    private const int Unspecified = 0;
    private const int Internet4 = 1;
    private const int Internet6 = 2;
    private const int Unix = 3;
    private const int Stream = 1;
    private const int Datagram = 2;

    public static ReadOnlySpan<byte> Signature => "\r\n\r\n\0\r\nQUIT\n"u8;

    /// <param name="buffer">Begins with <see cref="Signature"/>.</param>
    /// <param name="start">Its first <see cref="FixedLength"/> bytes.</param>
    /// <param name="maxSize">The largest header, in bytes.</param>
    public static HeaderResult Parse(in ReadOnlySequence<byte> buffer, ReadOnlySpan<byte> start, int maxSize)
    {
        if (start[12] >> 4 != Version)
        {
            return HeaderResult.Malformed(HeaderError.Version);
        }

        var command = (ProxyProtocolCommand)(start[12] & 0xF);
        if (command is not (ProxyProtocolCommand.Local or ProxyProtocolCommand.Proxy))
        {
            return HeaderResult.Malformed(HeaderError.Command);
        }

        // LOCAL: the family is to be ignored, so it can't be wrong.
        int family = start[13] >> 4;
        int protocol = start[13] & 0xF;
        if (command == ProxyProtocolCommand.Proxy && (family > Unix || protocol > Datagram))
        {
            return HeaderResult.Malformed(HeaderError.Family);
        }

        int length = FixedLength + BinaryPrimitives.ReadUInt16BigEndian(start[14..]);
        if (length > maxSize)
        {
            return HeaderResult.Malformed(HeaderError.TooLong);
        }

        if (buffer.Length < length)
        {
            return HeaderResult.NeedMore;
        }

        // A sender writes the header at once and in front of everything, so that it is hardly ever in two pieces.
        ReadOnlySpan<byte> header = buffer.FirstSpan.Length >= length ? buffer.FirstSpan[..length] : buffer.Slice(0, length).ToArray();
        return ParseWhole(header, command, family, protocol);
    }

    private static HeaderResult ParseWhole(ReadOnlySpan<byte> header, ProxyProtocolCommand command, int family, int protocol)
    {
        // Where the addresses are to be ignored nothing says that they have their length, or that values follow.
        bool hasAddresses = command == ProxyProtocolCommand.Proxy && family != Unspecified && protocol != Unspecified;
        int offset = FixedLength + AddressesLength(family);
        HeaderError error = offset > header.Length ? HeaderError.AddressesCutOff : Values.Check(header, offset);
        if (error == HeaderError.Checksum || (error != HeaderError.None && hasAddresses))
        {
            return HeaderResult.Malformed(error);
        }

        ReadOnlyMemory<byte> tlvs = error == HeaderError.None ? header[offset..].ToArray() : default;
        if (!hasAddresses || protocol != Stream || family == Unix)
        {
            // A receiver may take for unspecified what it does not use. A datagram's addresses say nothing of a stream, and the path that a
            // client of the proxy bound, mostly none, nothing that an application of Kestrel could use.
            return HeaderResult.Of(new ProxyHeader(header.Length, Version, command, null, null, tlvs));
        }

        int size = family == Internet4 ? 4 : 16;
        ReadOnlySpan<byte> addresses = header[FixedLength..offset];
        var source = new IPEndPoint(new IPAddress(addresses[..size]), BinaryPrimitives.ReadUInt16BigEndian(addresses[(2 * size)..]));
        var destination = new IPEndPoint(new IPAddress(addresses[size..(2 * size)]), BinaryPrimitives.ReadUInt16BigEndian(addresses[((2 * size) + 2)..]));
        return HeaderResult.Of(new ProxyHeader(header.Length, Version, command, source, destination, tlvs));
    }

    private static int AddressesLength(int family) => family switch
    {
        Internet4 => 2 * (4 + 2),
        Internet6 => 2 * (16 + 2),
        Unix => 2 * 108,
        _ => 0,
    };
}
