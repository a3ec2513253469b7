using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;

namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>Version 1: one line, <c>PROXY TCP4 192.0.2.1 192.0.2.2 56324 443</c> and CRLF. Section 2.1 of the specification.</summary>
internal static class TextHeader
{
    /// <summary>The longest line with its CRLF, by the specification.</summary>
    public const int MaxLength = 107;

    private static readonly SearchValues<byte> s_addressBytes = SearchValues.Create("0123456789abcdefABCDEF:."u8);

    public static ReadOnlySpan<byte> Signature => "PROXY"u8;

    /// <param name="buffer">Begins with <see cref="Signature"/>.</param>
    public static HeaderResult Parse(in ReadOnlySequence<byte> buffer)
    {
        Span<byte> space = stackalloc byte[MaxLength];
        ReadOnlySpan<byte> text = HeaderParser.First(buffer, space);
        int end = text.IndexOfAny((byte)'\r', (byte)'\n');

        // The LF has to be within the limit, too.
        if (end < 0 || end == text.Length - 1)
        {
            return end >= 0 && text[end] == '\n' ? HeaderResult.Malformed(HeaderError.LineEnd)
                : text.Length < MaxLength ? HeaderResult.NeedMore
                : HeaderResult.Malformed(HeaderError.LineTooLong);
        }

        if (!text[end..].StartsWith("\r\n"u8))
        {
            return HeaderResult.Malformed(HeaderError.LineEnd);
        }

        return ParseFields(text[Signature.Length..end], end + 2);
    }

    private static HeaderResult ParseFields(ReadOnlySpan<byte> rest, int length)
    {
        if (!rest.StartsWith((byte)' '))
        {
            return HeaderResult.Malformed(HeaderError.Fields);
        }

        rest = rest[1..];
        if (rest.SequenceEqual("UNKNOWN"u8) || rest.StartsWith("UNKNOWN "u8))
        {
            // Whatever follows is to be ignored.
            return HeaderResult.Of(new ProxyHeader(length, 1, ProxyProtocolCommand.Proxy, null, null, default));
        }

        if (!TryTakeField(ref rest, out ReadOnlySpan<byte> protocol))
        {
            return HeaderResult.Malformed(HeaderError.Fields);
        }

        bool isIPv6 = protocol.SequenceEqual("TCP6"u8);
        if (!isIPv6 && !protocol.SequenceEqual("TCP4"u8))
        {
            return HeaderResult.Malformed(HeaderError.Protocol);
        }

        if (!TryTakeField(ref rest, out ReadOnlySpan<byte> source)
            || !TryTakeField(ref rest, out ReadOnlySpan<byte> destination)
            || !TryTakeField(ref rest, out ReadOnlySpan<byte> sourcePort))
        {
            return HeaderResult.Malformed(HeaderError.Fields);
        }

        if (!TryParseNumber(sourcePort, ushort.MaxValue, out int from) || !TryParseNumber(rest, ushort.MaxValue, out int to))
        {
            return HeaderResult.Malformed(HeaderError.Port);
        }

        return TryParseAddress(source, isIPv6, out IPAddress? client) && TryParseAddress(destination, isIPv6, out IPAddress? server)
            ? HeaderResult.Of(new ProxyHeader(length, 1, ProxyProtocolCommand.Proxy, new IPEndPoint(client, from), new IPEndPoint(server, to), default))
            : HeaderResult.Malformed(HeaderError.Address);
    }

    /// <summary>Takes what is in front of the next space, and the space. Exactly one space separates fields, so none is empty.</summary>
    private static bool TryTakeField(ref ReadOnlySpan<byte> rest, out ReadOnlySpan<byte> field)
    {
        int length = rest.IndexOf((byte)' ');
        if (length <= 0)
        {
            field = default;
            return false;
        }

        field = rest[..length];
        rest = rest[(length + 1)..];
        return true;
    }

    private static bool TryParseAddress(ReadOnlySpan<byte> text, bool isIPv6, [NotNullWhen(true)] out IPAddress? address) =>
        isIPv6 ? TryParseIPv6(text, out address) : TryParseIPv4(text, out address);

    private static bool TryParseIPv4(ReadOnlySpan<byte> text, [NotNullWhen(true)] out IPAddress? address)
    {
        // Not the framework's parser, which takes 1, 0x7f.1 and 010.0.0.1 for addresses as well.
        address = null;
        Span<byte> bytes = stackalloc byte[4];
        for (int i = 0; i < bytes.Length; i++)
        {
            int length = i < bytes.Length - 1 ? text.IndexOf((byte)'.') : text.Length;
            if (length < 0 || !TryParseNumber(text[..length], byte.MaxValue, out int number))
            {
                return false;
            }

            bytes[i] = (byte)number;
            text = text[Math.Min(length + 1, text.Length)..];
        }

        address = new IPAddress(bytes);
        return true;
    }

    private static bool TryParseIPv6(ReadOnlySpan<byte> text, [NotNullWhen(true)] out IPAddress? address)
    {
        // The framework's parser also takes a scope, a prefix length, and brackets with a port: no such byte gets there. HAProxy and nginx
        // write the end of ::ffff:192.0.2.1 as IPv4, as inet_ntop(3) does.
        address = null;
        return text.IndexOfAnyExcept(s_addressBytes) < 0
            && (!text.Contains((byte)'.') || TryParseIPv4(text[(text.LastIndexOf((byte)':') + 1)..], out _))
            && IPAddress.TryParse(text, out address)
            && address.AddressFamily == AddressFamily.InterNetworkV6;
    }

    /// <summary>A decimal number without a sign or leading zeros.</summary>
    private static bool TryParseNumber(ReadOnlySpan<byte> digits, int max, out int number)
    {
        number = 0;
        if (digits.Length is 0 or > 5 || (digits[0] == '0' && digits.Length > 1))
        {
            return false;
        }

        foreach (byte digit in digits)
        {
            if (!char.IsAsciiDigit((char)digit))
            {
                return false;
            }

            number = (number * 10) + digit - '0';
        }

        return number <= max;
    }
}
