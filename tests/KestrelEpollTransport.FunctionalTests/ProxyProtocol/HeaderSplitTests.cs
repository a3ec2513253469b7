using System.Buffers;
using System.Text;
using KestrelEpollTransport.ProxyProtocol;

namespace KestrelEpollTransport.FunctionalTests.ProxyProtocol;

/// <summary>Headers that arrive in pieces, and random ones.</summary>
public class HeaderSplitTests
{
    private const int MaxSize = 512;

    private static readonly byte[][] s_headers =
    [
        HeaderBytes.Text,
        Encoding.ASCII.GetBytes("PROXY UNKNOWN\r\n"),
        Encoding.ASCII.GetBytes("PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 65535\r\n"),
        HeaderBytes.Proxied(),
        HeaderBytes.Binary(0x20, 0),
        HeaderBytes.ProxiedWithChecksum(
            HeaderBytes.Tlv(ProxyProtocolTlv.Authority, "example.org"), HeaderBytes.Tlv(ProxyProtocolTlv.UniqueId, 1, 2, 3)),
        HeaderBytes.Binary(0x21, 0x31, new byte[216], HeaderBytes.Tlv(ProxyProtocolTlv.Alpn, "h2")),
    ];

    [Fact]
    public void Header_CutOffAnywhere_NeedsMore()
    {
        foreach (byte[] header in s_headers)
        {
            for (int length = 0; length < header.Length; length++)
            {
                Assert.Equal(HeaderStatus.NeedMore, HeaderBytes.Parse(header.AsMemory(0, length)).Status);
            }

            Assert.Equal(HeaderStatus.Header, HeaderBytes.Parse(header).Status);
        }
    }

    [Fact]
    public void Header_InTwoOrThreePiecesSplitAnywhere_IsTheSame()
    {
        foreach (byte[] header in s_headers)
        {
            byte[] data = [.. header, .. "GET / HTTP/1.1\r\n"u8];
            HeaderResult whole = HeaderBytes.Parse(data);
            for (int first = 0; first <= data.Length; first++)
            {
                AssertSame(whole, HeaderBytes.InPieces(data, first));
                for (int second = first; second <= data.Length; second += 7)
                {
                    AssertSame(whole, HeaderBytes.InPieces(data, first, second));
                }
            }

            AssertSame(whole, HeaderBytes.InPieces(data, [.. Enumerable.Range(1, data.Length - 1)]));
        }
    }

    /// <summary>
    /// Whatever comes: no exception; an answer that more bytes do not change, once it is one; a header within what is there and the bound; and
    /// an answer at all after as many bytes as the bound.
    /// </summary>
    [Theory]
    [InlineData(1), InlineData(2), InlineData(3), InlineData(4)]
    public void Mutations_OfHeaders_KeepTheRules(int seed)
    {
        var random = new Random(seed);
        int[] seen = new int[4];
        for (int i = 0; i < 25_000; i++)
        {
            byte[] data = Mutate(random, s_headers[random.Next(s_headers.Length)]);
            HeaderResult last = HeaderResult.NeedMore;
            int length = 0;
            while (true)
            {
                HeaderResult result = HeaderParser.Parse(HeaderBytes.InPieces(data.AsMemory(0, length), length / 3, length / 2), MaxSize);
                Assert.True(
                    last.Status == HeaderStatus.NeedMore || (result.Status == last.Status && result.Error == last.Error && result.Header.Length == last.Header.Length),
                    $"Seed {seed}, case {i}, {length} bytes: {last}, then {result}: {Convert.ToHexString(data)}");
                AssertRules(result, length);
                last = result;
                if (length == data.Length)
                {
                    break;
                }

                length = Math.Min(data.Length, length + 1 + random.Next(60));
            }

            seen[(int)last.Status]++;
        }

        // Or the mutations show nothing.
        Assert.All(seen, count => Assert.True(count > 100, string.Join(' ', seen)));
    }

    private static void AssertRules(HeaderResult result, int length)
    {
        switch (result.Status)
        {
            case HeaderStatus.NeedMore:
                Assert.True(length < MaxSize);
                break;
            case HeaderStatus.Header:
                Assert.InRange(result.Header.Length, 15, Math.Min(length, MaxSize));
                Assert.Equal(result.Header.Source is null, result.Header.Destination is null);
                Assert.InRange(result.Header.Tlvs.Length, 0, result.Header.Length - 15);
                _ = Values.TryFind(result.Header.Tlvs, 0xFB, out _);
                break;
            case HeaderStatus.Malformed:
                Assert.NotEmpty(ProxyProtocolLog.Describe(result.Error));
                break;
            default:
                Assert.Equal(HeaderStatus.NotAHeader, result.Status);
                break;
        }
    }

    private static byte[] Mutate(Random random, byte[] header)
    {
        List<byte> data = [.. header];
        for (int changes = random.Next(4); changes > 0; changes--)
        {
            int at = random.Next(data.Count);
            switch (random.Next(5))
            {
                case 0:
                    data[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    data[at] = (byte)random.Next(256);
                    break;
                case 2 when data.Count > 1:
                    data.RemoveAt(at);
                    break;
                case 3:
                    data.InsertRange(at, data.GetRange(at, random.Next(Math.Min(20, data.Count - at))));
                    break;
                default:
                    data[at] = "0 :.\r\n\0"u8[random.Next(7)];
                    break;
            }
        }

        if (random.Next(10) == 0)
        {
            // Cut off.
            return [.. data.Take(random.Next(data.Count))];
        }

        byte[] behind = new byte[random.Next(2) * random.Next(MaxSize)];
        random.NextBytes(behind);
        return [.. data, .. behind];
    }

    private static void AssertSame(HeaderResult expected, ReadOnlySequence<byte> data)
    {
        HeaderResult actual = HeaderParser.Parse(data, MaxSize);
        Assert.Equal(expected.Status, actual.Status);
        Assert.Equal(expected.Header.Length, actual.Header.Length);
        Assert.Equal(expected.Header.Source, actual.Header.Source);
        Assert.Equal(expected.Header.Destination, actual.Header.Destination);
        Assert.Equal(expected.Header.Tlvs.ToArray(), actual.Header.Tlvs.ToArray());
    }
}
