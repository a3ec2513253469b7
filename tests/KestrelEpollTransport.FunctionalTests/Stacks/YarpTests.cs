using System.Net;
using System.Net.WebSockets;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Connections;
using RealStacks;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>YARP over each transport, in front of an application over each.</summary>
public class YarpTests
{
    private const int BodySize = 4 * 1024 * 1024;

    [Theory, TransportPairs]
    public async Task Requests_OfBothVersions_ReachTheApplicationAsHttp2(TransportKind proxyKind, TransportKind kind)
    {
        await using StackPair pair = await StackPair.StartAsync(proxyKind, kind, static app => app.MapPost("/echo", EchoAsync));
        byte[] body = Net.Pattern(BodySize);
        foreach (Version version in new[] { HttpVersion.Version11, HttpVersion.Version20 })
        {
            using HttpClient client = pair.Proxy.CreateClient(version);
            string[] answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(
                i => client.GetStringAsync(new Uri($"/greet?name={i}", UriKind.Relative)))).OrTimeout();
            Assert.Equal(Enumerable.Range(0, 50).Select(static i => $"Hello, {i}! (HTTP/2)\n"), answers);

            using var content = new ByteArrayContent(body);
            using HttpResponseMessage echo = await client.PostAsync(new Uri("/echo", UriKind.Relative), content).OrTimeout();
            Net.AssertSame(body, await echo.Content.ReadAsByteArrayAsync().OrTimeout());
        }

        pair.AssertTransportsWereCalm();
    }

    [Theory, TransportPairs]
    public async Task GrpcCalls_ThroughTheProxy_AreAnsweredAndCancelled(TransportKind proxyKind, TransportKind kind)
    {
        using var ends = new RequestEnds();
        await using StackPair pair = await StackPair.StartAsync(proxyKind, kind, ends.Watch);
        using GrpcChannel channel = GreeterCalls.CreateChannel(pair.Proxy);
        var client = new Greeter.GreeterClient(channel);

        await GreeterCalls.AssertCancelledAsync(client, ends.NextAsync);
        await GreeterCalls.AssertAnsweredAsync(client);
        pair.AssertTransportsWereCalm();
    }

    [Theory, TransportPairs]
    public async Task WebSocketsAndHubs_ThroughTheProxy_AreAnswered(TransportKind proxyKind, TransportKind kind)
    {
        await using StackPair pair = await StackPair.StartAsync(proxyKind, kind, static app =>
        {
            app.UseWebSockets();
            app.Map("/socket", EchoSocket.ServeAsync);
        });
        foreach (Version version in new[] { HttpVersion.Version11, HttpVersion.Version20 })
        {
            using ClientWebSocket socket = await EchoSocket.ConnectAsync(pair.Proxy, version);
            await EchoSocket.AssertEchoesAsync(socket);
            await GreeterHubCalls.AssertAnsweredAsync(pair.Proxy, HttpTransportType.WebSockets, version);
        }

        await GreeterHubCalls.AssertAnsweredAsync(pair.Proxy, HttpTransportType.LongPolling, HttpVersion.Version20);
        pair.AssertTransportsWereCalm();
    }

    // Not before all of it is there: a client of HTTP/1.1 may not read while it sends.
    private static async Task EchoAsync(HttpContext context)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body, context.RequestAborted);
        body.Position = 0;
        await body.CopyToAsync(context.Response.Body, context.RequestAborted);
    }
}
