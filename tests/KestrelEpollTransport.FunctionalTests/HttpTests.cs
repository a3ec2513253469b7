using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Kestrel over the transport, asked by the clients that .NET brings along.</summary>
public class HttpTests
{
    public enum Protocol
    {
        Http1,
        H2C,
        Http2Tls,
        Http1Tls,
    }

    [Theory]
    [AllTransports(Protocol.Http1), AllTransports(Protocol.H2C), AllTransports(Protocol.Http2Tls), AllTransports(Protocol.Http1Tls)]
    public async Task Requests_OfEachProtocol_AreAnswered(TransportKind kind, Protocol protocol)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind, context => context.Response.WriteAsync($"{context.Request.Protocol} {context.Request.Path}"), l => Listen(l, protocol));
        using HttpClient client = host.CreateClient(VersionOf(protocol));

        for (int i = 0; i < 20; i++)
        {
            Assert.Equal($"{NameOf(protocol)} /{i}", await client.GetStringAsync(new Uri($"/{i}", UriKind.Relative)).OrTimeout());
        }

        string[] parallel = await Task.WhenAll(
            Enumerable.Range(0, 50).Select(i => client.GetStringAsync(new Uri($"/{i}", UriKind.Relative)))).OrTimeout();
        Assert.Equal(Enumerable.Range(0, 50).Select(i => $"{NameOf(protocol)} /{i}"), parallel);
        host.AssertTransportWasCalm();
    }

    [Theory]
    [AllTransports(Protocol.Http1), AllTransports(Protocol.H2C), AllTransports(Protocol.Http2Tls), AllTransports(Protocol.Http1Tls)]
    public async Task Transfer_HundredMebibytesUpAndDown_KeepsEveryByte(TransportKind kind, Protocol protocol)
    {
        const int Size = 100 * 1024 * 1024;
        byte[] data = Net.Pattern(Size);
        string hash = Convert.ToHexString(SHA256.HashData(data));
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind,
            async context =>
            {
                if (HttpMethods.IsGet(context.Request.Method))
                {
                    context.Response.ContentLength = Size;
                    await context.Response.Body.WriteAsync(data);
                    return;
                }

                await context.Response.WriteAsync(Convert.ToHexString(await SHA256.HashDataAsync(context.Request.Body)));
            },
            l =>
            {
                l.KestrelServerOptions.Limits.MaxRequestBodySize = null;
                Listen(l, protocol);
            });
        using HttpClient client = host.CreateClient(VersionOf(protocol));

        using HttpResponseMessage up = await client.PostAsync(new Uri("/", UriKind.Relative), new ByteArrayContent(data)).OrTimeout();
        Assert.Equal(hash, await up.Content.ReadAsStringAsync().OrTimeout());

        await using Stream down = await client.GetStreamAsync(new Uri("/", UriKind.Relative)).OrTimeout();
        Assert.Equal(hash, Convert.ToHexString(await SHA256.HashDataAsync(down).OrTimeout()));
        host.AssertTransportWasCalm();
    }

    [Theory, AllTransports]
    public async Task Request_Chunked_IsReadWholeAndAnsweredChunked(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, async context =>
        {
            Assert.Null(context.Request.ContentLength);
            await context.Request.Body.CopyToAsync(context.Response.Body);
        });
        using Socket client = await host.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        await client.SendAsync("7\r\n, world\r\n0\r\n\r\n");

        string response = await client.ReceiveTextToEndAsync();
        Assert.StartsWith("HTTP/1.1 200 OK\r\n", response, StringComparison.Ordinal);
        Assert.Contains("Transfer-Encoding: chunked", response, StringComparison.Ordinal);
        Assert.EndsWith("0\r\n\r\n", response, StringComparison.Ordinal);
        Assert.Contains("hello", response, StringComparison.Ordinal);
        Assert.Contains(", world", response, StringComparison.Ordinal);
    }

    [Theory, AllTransports]
    public async Task Request_ExpectContinue_GetsContinueBeforeItsBody(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind, async context => await context.Request.Body.CopyToAsync(context.Response.Body));
        using Socket client = await host.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
        const string Continue = "HTTP/1.1 100 Continue\r\n\r\n";
        Assert.Equal(Continue, await client.ReceiveTextAsync(Continue.Length));

        await client.SendAsync("body");
        Assert.EndsWith("body\r\n0\r\n\r\n", await client.ReceiveTextToEndAsync(), StringComparison.Ordinal);
    }

    [Theory, AllTransports]
    public async Task WebSocket_Echo_CarriesMessagesAndCloses(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, app =>
        {
            app.UseWebSockets();
            app.Run(EchoSocket.ServeAsync);
        });
        using var client = new ClientWebSocket();
        await client.ConnectAsync(new Uri($"ws://127.0.0.1:{host.Address.Port}/"), default).OrTimeout();

        await EchoSocket.AssertEchoesAsync(client);
        host.AssertTransportWasCalm();
    }

    [Theory, AllTransports]
    public async Task Requests_SixteenPipelined_AreAnsweredInOrder(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context => context.Response.WriteAsync(context.Request.Path.Value![1..]));
        using Socket client = await host.ConnectAsync();
        string requests = string.Concat(Enumerable.Range(0, 16).Select(i =>
            $"GET /answer-{i:00} HTTP/1.1\r\nHost: x\r\n{(i == 15 ? "Connection: close\r\n" : "")}\r\n"));

        await client.SendAsync(requests);

        string responses = await client.ReceiveTextToEndAsync();
        int[] positions = [.. Enumerable.Range(0, 16).Select(i => responses.IndexOf($"answer-{i:00}", StringComparison.Ordinal))];
        Assert.DoesNotContain(-1, positions);
        Assert.Equal(positions.Order(), positions);
    }

    [Theory, AllTransports]
    public async Task Request_ByteByByte_IsAnswered(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context => context.Response.WriteAsync("whole"));
        using Socket client = await host.ConnectAsync();

        foreach (char c in "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        {
            await client.SendAsync(c.ToString());
        }

        Assert.Contains("whole", await client.ReceiveTextToEndAsync(), StringComparison.Ordinal);
    }

    [Theory, AllTransports]
    public async Task UnixSocket_HttpClient_IsAnswered(TransportKind kind)
    {
        string path = Net.NewUnixPath();
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind,
            app => app.Run(context => context.Response.WriteAsync("over unix")),
            configure: builder => builder.WebHost.ConfigureKestrel(o => o.ListenUnixSocket(path)));
        using var client = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, _) => new NetworkStream(await Net.ConnectAsync(new UnixDomainSocketEndPoint(path)), ownsSocket: true),
        });

        Assert.Equal("over unix", await client.GetStringAsync(new Uri("http://unix/")).OrTimeout());
    }

    private static void Listen(ListenOptions listen, Protocol protocol)
    {
        listen.Protocols = protocol is Protocol.Http1 or Protocol.Http1Tls ? HttpProtocols.Http1 : HttpProtocols.Http2;
        if (protocol is Protocol.Http2Tls or Protocol.Http1Tls)
        {
            KestrelHost.UseTls(listen);
        }
    }

    private static Version VersionOf(Protocol protocol) =>
        protocol is Protocol.Http1 or Protocol.Http1Tls ? HttpVersion.Version11 : HttpVersion.Version20;

    private static string NameOf(Protocol protocol) => protocol is Protocol.Http1 or Protocol.Http1Tls ? "HTTP/1.1" : "HTTP/2";
}
