using System.Net;
using System.Net.WebSockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>WebSockets over HTTP/2 (RFC 8441): streams of one connection.</summary>
public class WebSocketTests
{
    [Theory]
    [AllTransports(false), AllTransports(true)]
    public async Task WebSockets_OverHttp2_ShareAConnection(TransportKind kind, bool tls)
    {
        var connections = new HashSet<string>();
        await using KestrelHost host = await StartAsync(kind, tls, context =>
        {
            lock (connections)
            {
                connections.Add($"{context.Request.Protocol} {context.Connection.Id}");
            }

            return EchoSocket.ServeAsync(context);
        });
        using ClientWebSocket first = await EchoSocket.ConnectAsync(host, HttpVersion.Version20);
        ClientWebSocket[] others = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => EchoSocket.ConnectAsync(host, HttpVersion.Version20)));

        await Task.WhenAll(others.Append(first).Select(static socket => EchoSocket.AssertEchoesAsync(socket)));
        Assert.StartsWith("HTTP/2 ", Assert.Single(connections), StringComparison.Ordinal);
        host.AssertTransportWasCalm();
    }

    [Theory, AllTransports]
    public async Task WebSocket_AbortedByItsClient_EndsAloneOnItsConnection(TransportKind kind)
    {
        var ends = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using KestrelHost host = await StartAsync(kind, tls: true, async context =>
        {
            try
            {
                await EchoSocket.ServeAsync(context);
            }
            catch (Exception exception) when (exception is WebSocketException or OperationCanceledException or IOException)
            {
                ends.TrySetResult(exception);
            }
        });
        using ClientWebSocket staying = await EchoSocket.ConnectAsync(host, HttpVersion.Version20);
        using ClientWebSocket leaving = await EchoSocket.ConnectAsync(host, HttpVersion.Version20);
        await EchoSocket.AssertEchoesAsync(leaving, 100);

        leaving.Abort();

        Assert.NotNull(await ends.Task.OrTimeout());
        await EchoSocket.AssertEchoesAsync(staying);
        host.AssertTransportWasCalm();
    }

    private static Task<KestrelHost> StartAsync(TransportKind kind, bool tls, RequestDelegate serve) => KestrelHost.StartAsync(
        kind,
        app =>
        {
            app.UseWebSockets();
            app.Run(serve);
        },
        listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            if (tls)
            {
                KestrelHost.UseTls(listen);
            }
        });
}
