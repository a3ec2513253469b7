using System.Net.Sockets;

namespace KestrelEpollTransport.FunctionalTests.ProxyProtocol;

/// <summary>Connections that are closed before anything of them is served, with one line that tells why.</summary>
public class ProxyProtocolRefusalTests
{
    private const int MaxHeaderSize = 256;

    private static readonly Dictionary<string, byte[]> s_malformed = new()
    {
        ["the version is not 2"] = HeaderBytes.Binary(0x31, HeaderBytes.Tcp4, new byte[12]),
        ["the address family or protocol is unknown"] = HeaderBytes.Binary(0x21, 0x55, new byte[12]),
        ["it ends within the addresses"] = HeaderBytes.Binary(0x21, HeaderBytes.Tcp6, new byte[12]),
        ["the values do not fill it"] = HeaderBytes.Proxied([1, 2]),
        ["the checksum is wrong"] = HeaderBytes.Proxied(HeaderBytes.Tlv(ProxyProtocolTlv.Crc32C, 1, 2, 3, 4)),
        ["it is longer than MaxHeaderSize"] = HeaderBytes.Proxied(HeaderBytes.Tlv(ProxyProtocolTlv.NoOp, new byte[MaxHeaderSize])),
        ["a port is not a number"] = "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"u8.ToArray(),
        ["no end of the line within 107 bytes"] = "PROXY UNKNOWN ".PadRight(200, 'x').Select(static c => (byte)c).ToArray(),
    };

    public static TheoryData<TransportKind, string, ProxyProtocolMode> Malformed
    {
        get
        {
            var cases = new TheoryData<TransportKind, string, ProxyProtocolMode>();
            foreach (TransportKind kind in TransportKindExtensions.All)
            {
                foreach (string reason in s_malformed.Keys)
                {
                    cases.Add(kind, reason, ProxyProtocolMode.RequiredFromTrusted);
                    cases.Add(kind, reason, ProxyProtocolMode.Optional);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Malformed))]
    public async Task Header_Malformed_ResetsTheConnection(TransportKind kind, string reason, ProxyProtocolMode mode)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, options =>
        {
            ProxiedHost.TrustLoopback(mode)(options);
            options.MaxHeaderSize = MaxHeaderSize;
        });
        using Socket client = await host.ConnectAsync();

        await client.SendAllAsync(s_malformed[reason]);

        await client.AssertResetAsync();
        await host.AssertRefusedAsync(reason);
    }

    [Theory, AllTransports(ProxyProtocolMode.Required), AllTransports(ProxyProtocolMode.RequiredFromTrusted)]
    public async Task Header_RequiredAndMissing_ResetsTheConnection(TransportKind kind, ProxyProtocolMode mode)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, ProxiedHost.TrustLoopback(mode));
        using Socket client = await host.ConnectAsync();

        await client.SendAsync(ProxiedHost.Request);

        await client.AssertResetAsync();
        await host.AssertRefusedAsync("does not begin with a PROXY protocol header");
    }

    [Theory, AllTransports]
    public async Task UntrustedSource_WhereOnlyProxiesMayConnect_IsReset(TransportKind kind)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, static options => options.Mode = ProxyProtocolMode.Required);
        using Socket client = Net.CreateClient(host.Host.EndPoint);

        // The reset may come before .NET has seen that it is connected.
        SocketException error = await Assert.ThrowsAsync<SocketException>(async () =>
        {
            await client.ConnectAsync(host.Host.EndPoint).OrTimeout();
            await client.ReceiveToEndAsync();
        });

        Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
        await host.AssertRefusedAsync("the source is not trusted");
    }

    [Theory]
    [AllTransports(ProxyProtocolMode.Required, 0), AllTransports(ProxyProtocolMode.RequiredFromTrusted, 1)]
    [AllTransports(ProxyProtocolMode.RequiredFromTrusted, 20), AllTransports(ProxyProtocolMode.Optional, 0), AllTransports(ProxyProtocolMode.Optional, 20)]
    public async Task Header_NotWholeInTime_ResetsTheConnection(TransportKind kind, ProxyProtocolMode mode, int sent)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, options =>
        {
            ProxiedHost.TrustLoopback(mode)(options);
            options.HeaderTimeout = TimeSpan.FromMilliseconds(300);
        });
        using Socket client = await host.ConnectAsync();

        await client.SendAllAsync(HeaderBytes.Proxied().AsMemory(0, sent));

        await client.AssertResetAsync();
        await host.AssertRefusedAsync("did not come in time");
    }

    /// <summary>What the time-out is made of is used again for later connections.</summary>
    [Theory, AllTransports]
    public async Task Timeout_OfAConnectionThatWasServed_DoesNotPassLater(TransportKind kind)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, static options =>
        {
            ProxiedHost.TrustLoopback(options);
            options.HeaderTimeout = TimeSpan.FromSeconds(20);
        });
        for (int i = 0; i < 20; i++)
        {
            using Socket client = await host.ConnectAsync();
            await client.SendAllAsync(HeaderBytes.Proxied().AsMemory(0, i));
            Assert.Equal(("200", ProxiedHost.ProxiedAnswer(2)), await ProxiedHost.AskAsync(client, HeaderBytes.Proxied()[i..]));
        }

        host.AssertNobodyWasRefused();
    }

    [Theory]
    [AllTransports(0, ProxyProtocolMode.RequiredFromTrusted), AllTransports(20, ProxyProtocolMode.RequiredFromTrusted)]
    [AllTransports(0, ProxyProtocolMode.Optional), AllTransports(20, ProxyProtocolMode.Optional)]
    public async Task Client_EndingWithinTheHeader_GetsTheEndToo(TransportKind kind, int sent, ProxyProtocolMode mode)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, ProxiedHost.TrustLoopback(mode));
        using Socket client = await host.ConnectAsync();

        await client.SendAllAsync(HeaderBytes.Proxied().AsMemory(0, sent));
        client.Shutdown(SocketShutdown.Send);

        Assert.Empty(await client.ReceiveToEndAsync());
        await host.AssertRefusedAsync("ended before");
    }

    [Theory, AllTransports(0), AllTransports(20)]
    public async Task Client_ResettingWithinTheHeader_IsNoError(TransportKind kind, int sent)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, ProxiedHost.TrustLoopback);
        Socket client = await host.ConnectAsync();

        await client.SendAllAsync(HeaderBytes.Proxied().AsMemory(0, sent));
        await host.WaitForConnectionAsync();
        client.Reset();

        await host.AssertRefusedAsync("ended before");
    }

    [Theory, AllTransports]
    public async Task UnixSocket_HeaderMissing_IsClosed(TransportKind kind)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, static options => options.TrustUnixSockets = true);
        using Socket client = await host.ConnectUnixAsync();

        await client.SendAsync("GET");

        // Unix sockets know a reset only where input was left that nobody read.
        Assert.Equal(0, await client.ReceiveAsync(new byte[1]).OrTimeout());
        await host.AssertRefusedAsync("does not begin with a PROXY protocol header");
    }
}
