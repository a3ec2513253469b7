using System.Net;
using System.Text;
using KestrelEpollTransport.ProxyProtocol;

namespace KestrelEpollTransport.FunctionalTests.ProxyProtocol;

/// <summary>Version 1 of the header: the specification's lines, and lines that it forbids.</summary>
public class TextHeaderTests
{
    private const string LongestIPv6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

    [Theory]
    [InlineData("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1:56324", "192.168.0.11:443")]
    [InlineData("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535", "255.255.255.255:65535")]
    [InlineData("PROXY TCP4 0.0.0.0 10.0.0.1 0 1\r\n", "0.0.0.0:0", "10.0.0.1:1")]
    [InlineData($"PROXY TCP6 {LongestIPv6} {LongestIPv6} 65535 65535\r\n", $"[{LongestIPv6}]:65535", $"[{LongestIPv6}]:65535")]
    [InlineData("PROXY TCP6 2001:DB8::1 ::1 1 2\r\n", "[2001:db8::1]:1", "[::1]:2")]
    [InlineData("PROXY TCP6 :: 2001:0db8:0000::0001 1 2\r\n", "[::]:1", "[2001:db8::1]:2")]
    [InlineData("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:0202 1 2\r\n", "[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2")]
    public void Line_OfTcp_NamesBothEndPoints(string line, string source, string destination)
    {
        HeaderResult result = Parse(line + "GET / HTTP/1.1\r\n");

        Assert.Equal(HeaderStatus.Header, result.Status);
        Assert.Equal(line.Length, result.Header.Length);
        Assert.Equal(1, result.Header.Version);
        Assert.Equal(ProxyProtocolCommand.Proxy, result.Header.Command);
        Assert.Equal(IPEndPoint.Parse(source), result.Header.Source);
        Assert.Equal(IPEndPoint.Parse(destination), result.Header.Destination);
        Assert.True(result.Header.Tlvs.IsEmpty);
    }

    [Theory]
    [InlineData("PROXY UNKNOWN\r\n")]
    [InlineData("PROXY UNKNOWN \r\n")]
    [InlineData("PROXY UNKNOWN  what  ever it says\r\n")]
    [InlineData($"PROXY UNKNOWN {LongestIPv6} {LongestIPv6} 65535 65535\r\n")]
    public void Line_OfUnknown_IsAHeaderWithoutEndPoints(string line)
    {
        HeaderResult result = Parse(line + "x");

        Assert.Equal(HeaderStatus.Header, result.Status);
        Assert.Equal(line.Length, result.Header.Length);
        Assert.Null(result.Header.Source);
        Assert.Null(result.Header.Destination);
    }

    [Theory]
    [InlineData("PROXY\r\n", nameof(HeaderError.Fields))]
    [InlineData("PROXYTCP4 1.2.3.4 1.2.3.4 1 2\r\n", nameof(HeaderError.Fields))]
    [InlineData("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", nameof(HeaderError.Fields))]
    [InlineData("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", nameof(HeaderError.Fields))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", nameof(HeaderError.Fields))]
    [InlineData("PROXY TCP4 1.2.3.4\r\n", nameof(HeaderError.Fields))]
    [InlineData("PROXY TCP4\r\n", nameof(HeaderError.Fields))]
    [InlineData("PROXY \r\n", nameof(HeaderError.Fields))]
    [InlineData("PROXY\tTCP4 1.2.3.4 1.2.3.4 1 2\r\n", nameof(HeaderError.Fields))]
    [InlineData("PROXY UNKNOWNS\r\n", nameof(HeaderError.Fields))]
    [InlineData("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", nameof(HeaderError.Protocol))]
    [InlineData("PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", nameof(HeaderError.Protocol))]
    [InlineData("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", nameof(HeaderError.Protocol))]
    [InlineData("PROXY / HTTP/1.1\r\n", nameof(HeaderError.Protocol))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", nameof(HeaderError.Port))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", nameof(HeaderError.Port))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n", nameof(HeaderError.Port))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", nameof(HeaderError.Port))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 00 2\r\n", nameof(HeaderError.Port))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", nameof(HeaderError.Port))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n", nameof(HeaderError.Port))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 1 100000\r\n", nameof(HeaderError.Port))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", nameof(HeaderError.Port))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", nameof(HeaderError.Port))]
    [InlineData("PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP4 1.2.3.4 01.2.3.4 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP4 1.2.3.4.5 1.2.3.4 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP4 1.2.3. 1.2.3.4 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP4 .1.2.3 1.2.3.4 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP4 0x7f.0.0.1 1.2.3.4 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP4 16909060 1.2.3.4 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP4 ::1 ::1 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP6 ::1 1.2.3.4 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP6 1::2::3 ::1 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP6 ::1%1 ::1 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP6 ::1/64 ::1 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP6 [::1] ::1 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP6 00001::1 ::1 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP6 ::ffff:1.2.3.04 ::1 1 2\r\n", nameof(HeaderError.Address))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", nameof(HeaderError.LineEnd))]
    [InlineData("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx", nameof(HeaderError.LineEnd))]
    [InlineData("PROXY UNKNOWN a\nb\r\n", nameof(HeaderError.LineEnd))]
    [InlineData("PROXY UNKNOWN a\rb\r\n", nameof(HeaderError.LineEnd))]
    public void Line_OfAnotherForm_IsMalformed(string line, string error)
    {
        HeaderResult result = Parse(line);

        Assert.Equal(HeaderStatus.Malformed, result.Status);
        Assert.Equal(error, result.Error.ToString());
    }

    [Fact]
    public void Line_OfTheLongestLength_IsAHeader_AndOneByteMoreIsMalformed()
    {
        string longest = "PROXY UNKNOWN ".PadRight(TextHeader.MaxLength - 2, 'x');

        Assert.Equal(HeaderStatus.Header, Parse(longest + "\r\n").Status);
        Assert.Equal(HeaderStatus.NeedMore, Parse(longest + "\r").Status);
        Assert.Equal(HeaderError.LineTooLong, Parse(longest + "x\r\n").Error);
        Assert.Equal(HeaderError.LineTooLong, Parse(longest + "xx").Error);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")]
    [InlineData("P ")]
    [InlineData("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n")]
    [InlineData(" PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n")]
    [InlineData("\r\nGET / HTTP/1.1\r\n")]
    [InlineData("\u0016\u0003\u0001")]
    public void Bytes_OfAnotherProtocol_AreNotAHeader(string text) => Assert.Equal(HeaderStatus.NotAHeader, Parse(text).Status);

    private static HeaderResult Parse(string text) => HeaderBytes.Parse(Encoding.ASCII.GetBytes(text));
}
