using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace KestrelEpollTransport.FunctionalTests.ProxyProtocol;

/// <summary>Connections that are served: with a header, and without one where that is allowed.</summary>
public class ProxyProtocolTests
{
    public enum Protocol
    {
        Http1,
        H2C,
        Http1Tls,
        Http2Tls,
    }

    [Theory, AllTransports(1), AllTransports(2)]
    public async Task Header_InOnePacketWithTheRequest_ReplacesTheAddresses(TransportKind kind, int version)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, ProxiedHost.TrustLoopback);
        using Socket client = await host.ConnectAsync();
        EndPoint proxy = client.LocalEndPoint!;
        EndPoint server = client.RemoteEndPoint!;

        Assert.Equal(("200", ProxiedHost.ProxiedAnswer(version)), await ProxiedHost.AskAsync(client, HeaderBytes.OfVersion(version)));

        Assert.Equal(HeaderBytes.Source, host.Feature!.SourceEndPoint);
        Assert.Equal(HeaderBytes.Destination, host.Feature.DestinationEndPoint);
        Assert.Equal(proxy, host.Feature.ProxyRemoteEndPoint);
        Assert.Equal(server, host.Feature.ProxyLocalEndPoint);
        Assert.Null(host.Feature.Authority);
        host.AssertNobodyWasRefused();
    }

    [Theory, AllTransports(1), AllTransports(2)]
    public async Task Header_ByteByByte_ReplacesTheAddresses(TransportKind kind, int version)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, ProxiedHost.TrustLoopback);
        using Socket client = await host.ConnectAsync();

        foreach (byte one in (byte[])[.. HeaderBytes.OfVersion(version), .. Encoding.ASCII.GetBytes(ProxiedHost.Request)])
        {
            await client.SendAllAsync(new[] { one });
        }

        Assert.Equal(("200", ProxiedHost.ProxiedAnswer(version)), await ProxiedHost.ReceiveAnswerAsync(client));
    }

    [Theory]
    [AllTransports(Protocol.Http1, 1), AllTransports(Protocol.H2C, 1), AllTransports(Protocol.Http1Tls, 1), AllTransports(Protocol.Http2Tls, 1)]
    [AllTransports(Protocol.Http1, 2), AllTransports(Protocol.H2C, 2), AllTransports(Protocol.Http1Tls, 2), AllTransports(Protocol.Http2Tls, 2)]
    public async Task Header_InFrontOfEachProtocol_CountsForAllRequests(TransportKind kind, Protocol protocol, int version)
    {
        bool isTls = protocol is Protocol.Http1Tls or Protocol.Http2Tls;
        bool isHttp2 = protocol is Protocol.H2C or Protocol.Http2Tls;
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, ProxiedHost.TrustLoopback, listen =>
        {
            listen.Protocols = isHttp2 ? HttpProtocols.Http2 : HttpProtocols.Http1;
            if (isTls)
            {
                KestrelHost.UseTls(listen);
            }
        });
        int connections = 0;
        using HttpClient client = host.Host.CreateClient(isHttp2 ? HttpVersion.Version20 : HttpVersion.Version11, async () =>
        {
            connections++;
            return new HeaderFirstStream(await host.ConnectAsync(), HeaderBytes.OfVersion(version));
        });

        var uri = new Uri($"{(isTls ? "https" : "http")}://127.0.0.1:{host.Host.EndPoint.Port}/");
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(ProxiedHost.ProxiedAnswer(version), await client.GetStringAsync(uri).OrTimeout());
        }

        Assert.Equal(1, connections);
        host.AssertNobodyWasRefused();
    }

    [Theory, AllTransports]
    public async Task Local_WithAddresses_KeepsTheConnectionsOwn(TransportKind kind)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, ProxiedHost.TrustLoopback);
        using Socket client = await host.ConnectAsync();
        string expected = $"{ProxiedHost.PlainAnswer(client)} 2 Local";

        byte[] header = HeaderBytes.Binary(0x20, HeaderBytes.Tcp4, HeaderBytes.Addresses(HeaderBytes.Source, HeaderBytes.Destination));

        Assert.Equal(("200", expected), await ProxiedHost.AskAsync(client, header));
        Assert.Null(host.Feature!.SourceEndPoint);
    }

    [Theory, AllTransports]
    public async Task Unknown_OfVersion1_KeepsTheConnectionsOwnAddresses(TransportKind kind)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, ProxiedHost.TrustLoopback);
        using Socket client = await host.ConnectAsync();
        string expected = $"{ProxiedHost.PlainAnswer(client)} 1 Proxy";

        Assert.Equal(("200", expected), await ProxiedHost.AskAsync(client, "PROXY UNKNOWN\r\n"u8.ToArray()));
    }

    [Theory, AllTransports]
    public async Task Values_OfTheHeader_AreTheFeatures(TransportKind kind)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, ProxiedHost.TrustLoopback);
        using Socket client = await host.ConnectAsync();
        byte[] header = HeaderBytes.ProxiedWithChecksum(
            HeaderBytes.Tlv(ProxyProtocolTlv.Alpn, "h2"),
            HeaderBytes.Tlv(ProxyProtocolTlv.Authority, "bücher.example"),
            HeaderBytes.Tlv(ProxyProtocolTlv.UniqueId, 1, 2, 3),
            HeaderBytes.Tlv(ProxyProtocolTlv.Ssl, 1, 0, 0, 0, 0),
            HeaderBytes.Tlv(ProxyProtocolTlv.Aws, [1, .. "vpce-08d2bf15fac5001c9"u8]),
            HeaderBytes.Tlv(ProxyProtocolTlv.GcpPscConnectionId, 0, 0, 0, 0, 0, 0, 0, 9));

        Assert.Equal(("200", ProxiedHost.ProxiedAnswer(2)), await ProxiedHost.AskAsync(client, header));

        IProxyProtocolFeature feature = host.Feature!;
        Assert.Equal("bücher.example", feature.Authority);
        Assert.Equal("h2"u8.ToArray(), Find(ProxyProtocolTlv.Alpn));
        Assert.Equal([1, 2, 3], Find(ProxyProtocolTlv.UniqueId));
        Assert.Equal([1, 0, 0, 0, 0], Find(ProxyProtocolTlv.Ssl));
        Assert.Equal((byte[])[1, .. "vpce-08d2bf15fac5001c9"u8], Find(ProxyProtocolTlv.Aws));
        Assert.Equal([0, 0, 0, 0, 0, 0, 0, 9], Find(ProxyProtocolTlv.GcpPscConnectionId));
        Assert.False(feature.TryGetTlv(ProxyProtocolTlv.Azure, out _));
        Assert.Equal(header[28..], feature.Tlvs.ToArray());

        byte[] Find(byte type)
        {
            Assert.True(feature.TryGetTlv(type, out ReadOnlyMemory<byte> value));
            return value.ToArray();
        }
    }

    [Theory, AllTransports]
    public async Task Optional_ClientsWithAndWithoutHeader_ShareThePort(TransportKind kind)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, ProxiedHost.TrustLoopback(ProxyProtocolMode.Optional));
        using Socket plain = await host.ConnectAsync();
        using Socket proxied = await host.ConnectAsync();
        string expected = ProxiedHost.PlainAnswer(plain);

        Assert.Equal(("200", ProxiedHost.ProxiedAnswer(2)), await ProxiedHost.AskAsync(proxied, HeaderBytes.Proxied()));
        Assert.Equal(("200", expected), await ProxiedHost.AskAsync(plain, []));
        Assert.Null(host.Feature);
        host.AssertNobodyWasRefused();
    }

    /// <summary>Bytes that were examined because they could have become a header are the request's all the same.</summary>
    [Theory, AllTransports]
    public async Task Optional_RequestThatBeginsAsAHeaderDoes_LosesNothing(TransportKind kind)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, ProxiedHost.TrustLoopback(ProxyProtocolMode.Optional));
        using Socket client = await host.ConnectAsync();
        string expected = ProxiedHost.PlainAnswer(client);

        foreach (char one in ProxiedHost.Request.Replace("GET", "PROPFIND", StringComparison.Ordinal))
        {
            await client.SendAsync(one.ToString());
        }

        Assert.Equal(("200", expected), await ProxiedHost.ReceiveAnswerAsync(client));
        Assert.Equal("PROPFIND", host.Method);
    }

    [Theory]
    [AllTransports(ProxyProtocolMode.RequiredFromTrusted, 1), AllTransports(ProxyProtocolMode.RequiredFromTrusted, 2)]
    [AllTransports(ProxyProtocolMode.Optional, 1), AllTransports(ProxyProtocolMode.Optional, 2)]
    public async Task UntrustedSource_WithHeader_SentGarbage(TransportKind kind, ProxyProtocolMode mode, int version)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, options =>
        {
            options.TrustedNetworks.Add(IPNetwork.Parse("192.0.2.0/24"));
            options.Mode = mode;
        });
        using Socket client = await host.ConnectAsync();
        using Socket plain = await host.ConnectAsync();
        string expected = ProxiedHost.PlainAnswer(plain);

        await client.SendAllAsync(HeaderBytes.OfVersion(version));

        Assert.Equal("400", (await ProxiedHost.ReceiveAnswerAsync(client)).Status);
        Assert.Equal(("200", expected), await ProxiedHost.AskAsync(plain, []));
        Assert.Null(host.Feature);
        host.AssertNobodyWasRefused();
    }

    [Theory, AllTransports]
    public async Task NoOptions_TrustNobody(TransportKind kind)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, configure: null);
        using Socket client = await host.ConnectAsync();
        using Socket plain = await host.ConnectAsync();
        using Socket unix = await host.ConnectUnixAsync();
        string expected = ProxiedHost.PlainAnswer(plain);

        await client.SendAllAsync(HeaderBytes.Text);

        Assert.Equal("400", (await ProxiedHost.ReceiveAnswerAsync(client)).Status);
        Assert.Equal(("200", expected), await ProxiedHost.AskAsync(plain, []));
        Assert.Equal(("200", "unix"), await ProxiedHost.AskAsync(unix, []));
        host.AssertNobodyWasRefused();
    }

    [Theory, AllTransports]
    public async Task UnixSocket_Trusted_HasTheClientsAddresses(TransportKind kind)
    {
        await using ProxiedHost host = await ProxiedHost.StartAsync(kind, static options => options.TrustUnixSockets = true);
        using Socket client = await host.ConnectUnixAsync();
        using Socket checking = await host.ConnectUnixAsync();

        Assert.Equal(("200", ProxiedHost.ProxiedAnswer(2)), await ProxiedHost.AskAsync(client, HeaderBytes.Proxied()));
        Assert.Equal(("200", "unix 2 Local"), await ProxiedHost.AskAsync(checking, HeaderBytes.Binary(0x20, 0)));
        Assert.IsType<UnixDomainSocketEndPoint>(host.Feature!.ProxyLocalEndPoint);
        host.AssertNobodyWasRefused();
    }

    /// <summary>Sends a header in front of, and in one packet with, what is written first.</summary>
    private sealed class HeaderFirstStream(Socket socket, byte[] header) : NetworkStream(socket, ownsSocket: true)
    {
        private byte[]? _header = header;

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            byte[]? first = Interlocked.Exchange(ref _header, null);
            return base.WriteAsync(first is null ? buffer : (byte[])[.. first, .. buffer.Span], cancellationToken);
        }
    }
}
