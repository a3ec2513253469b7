using System.Net;
using KestrelEpollTransport.ConnectionLimits;

namespace KestrelEpollTransport.FunctionalTests.ConnectionLimits;

/// <summary>Which addresses count as one, and that no more than allowed are let in whoever comes at the same moment.</summary>
public class AddressCountsTests
{
    [Theory]
    [InlineData("192.0.2.1", "192.0.2.1", 32, 64, true)]
    [InlineData("192.0.2.1", "192.0.2.2", 32, 64, false)]
    [InlineData("192.0.2.1", "192.0.2.254", 24, 64, true)]
    [InlineData("192.0.2.1", "192.0.3.1", 24, 64, false)]
    [InlineData("192.0.2.1", "::ffff:192.0.2.1", 32, 64, true)]
    [InlineData("192.0.2.1", "::ffff:192.0.2.2", 24, 128, true)]
    [InlineData("192.0.2.1", "203.0.113.9", 0, 64, true)]
    [InlineData("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", 32, 64, true)]
    [InlineData("2001:db8::1", "2001:db8:0:1::1", 32, 64, false)]
    [InlineData("2001:db8::1", "2001:db8::2", 32, 128, false)]
    [InlineData("2001:db8::1", "2001:db8:ffff::1", 32, 32, true)]
    [InlineData("2001:db8::1", "::1", 32, 0, true)]
    [InlineData("::1", "192.0.2.1", 32, 64, false)]
    [InlineData("fe80::1%1", "fe80::1%2", 32, 128, true)]
    public void Network_OfTwoAddresses_IsOneWhereTheirPrefixIs(string one, string other, int ipv4Prefix, int ipv6Prefix, bool isSame)
    {
        var counts = new AddressCounts(most: 1, ipv4Prefix, ipv6Prefix);
        UInt128 network = counts.GetNetwork(IPAddress.Parse(one));

        Assert.Equal(isSame, network == counts.GetNetwork(IPAddress.Parse(other)));
        Assert.True(counts.TryAdd(network));
        Assert.Equal(!isSame, counts.TryAdd(counts.GetNetwork(IPAddress.Parse(other))));
    }

    [Fact]
    public void Network_WhoseConnectionsLeave_HasRoomAgain()
    {
        var counts = new AddressCounts(most: 2, 32, 64);
        UInt128 network = counts.GetNetwork(IPAddress.Loopback);
        for (int i = 0; i < 3; i++)
        {
            Assert.True(counts.TryAdd(network));
            Assert.True(counts.TryAdd(network));
            Assert.False(counts.TryAdd(network));
            counts.Remove(network);
            Assert.True(counts.TryAdd(network));
            counts.Remove(network);
            counts.Remove(network);
        }
    }

    [Fact]
    public async Task Network_OfABurst_HasNeverMoreThanTheMost()
    {
        const int Most = 10;
        var counts = new AddressCounts(Most, 32, 64);
        UInt128 network = counts.GetNetwork(IPAddress.Loopback);
        int inside = 0;
        int highest = 0;
        using var start = new Barrier(8);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Factory.StartNew(
            () =>
            {
                Assert.True(start.SignalAndWait(Timeouts.Limit));
                for (int i = 0; i < 20_000; i++)
                {
                    if (counts.TryAdd(network))
                    {
                        int now = Interlocked.Increment(ref inside);
                        InterlockedMax(ref highest, now);
                        Interlocked.Decrement(ref inside);
                        counts.Remove(network);
                    }
                }
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))).OrTimeout();

        Assert.InRange(highest, 1, Most);
        for (int i = 0; i < Most; i++)
        {
            Assert.True(counts.TryAdd(network));
        }

        Assert.False(counts.TryAdd(network));
    }

    private static void InterlockedMax(ref int highest, int value)
    {
        int seen = Volatile.Read(ref highest);
        while (seen < value && Interlocked.CompareExchange(ref highest, value, seen) is var now && now != seen)
        {
            seen = now;
        }
    }
}
