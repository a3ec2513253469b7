using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using KestrelEpollTransport.FunctionalTests.GenericHost;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests.Restarting;

/// <summary>A whole web application that is drained: who is connected is served once more and told, who isn't is refused.</summary>
public class ConnectionDrainingTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    [Theory, AllTransports]
    public async Task Drain_IdleConnection_AnswersItsNextRequestAndCloses(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind);
        using Socket client = await host.ConnectAsync();
        Assert.DoesNotContain("Connection: close", await AskAsync(client), StringComparison.OrdinalIgnoreCase);
        Task<bool> drain = DrainingOf(host).DrainAsync();
        Assert.True(DrainingOf(host).IsDraining);

        string answer = await AskAsync(client);

        Assert.Contains("Connection: close", answer, StringComparison.OrdinalIgnoreCase);
        Assert.EndsWith("hello", answer, StringComparison.Ordinal);
        Assert.Empty(await client.ReceiveToEndAsync());
        if (kind.IsOurs())
        {
            // Of Sockets' connections nothing is known.
            Assert.True(await drain.OrTimeout());
        }
    }

    [Theory]
    [AllTransports(false), AllTransports(true)]
    public async Task Drain_UploadAndHttp2_AreAnswered(TransportKind kind, bool http2)
    {
        await using KestrelHost host = await StartAsync(kind, KestrelHost.UseTls);
        using HttpClient client = host.CreateClient(http2 ? HttpVersion.Version20 : HttpVersion.Version11);
        Assert.Equal("hello", await client.GetStringAsync(host.Address).OrTimeout());
        Task<bool> drain = DrainingOf(host).DrainAsync();

        using var body = new ByteArrayContent(new byte[300_000]);
        using HttpResponseMessage response = await client.PostAsync(host.Address, body).OrTimeout();

        Assert.Equal("300000", await response.Content.ReadAsStringAsync().OrTimeout());
        Assert.Equal(http2 ? null : true, response.Headers.ConnectionClose);
        if (kind.IsOurs())
        {
            // GOAWAY, with HTTP/2.
            Assert.True(await drain.OrTimeout());
        }
    }

    [Theory, EpollTransports("the endpoints of Sockets accept until the server stops")]
    public async Task Drain_OfOurEndpoints_RefusesNewConnections(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind);

        Assert.True(await DrainingOf(host).DrainAsync().OrTimeout());
        Assert.True(await DrainingOf(host).DrainAsync().OrTimeout());

        SocketException error = await Assert.ThrowsAsync<SocketException>(host.ConnectAsync);
        Assert.Equal(SocketError.ConnectionRefused, error.SocketErrorCode);
        host.AssertTransportWasCalm();
    }

    [Theory, EpollTransports("the two servers share the transport")]
    public async Task Drain_WithAnEpollServerBesides_AsksItsConnectionsToEnd(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, app => app.Run(AnswerAsync), configure: static builder =>
        {
            builder.Services.AddEpollServer(static server => server.Listen(Net.AnyLoopbackPort, static connections => connections.Run(ServerHost.EchoAsync)));
            builder.Services.AddConnectionDraining(static options => options.Timeout = Timeouts.Limit);
        });
        using Socket client = await Net.ConnectAsync(host.App.Services.GetRequiredService<EpollServer>().EndPoints[0]);
        await ServerHost.AssertEchoesAsync(client, "hello");

        Assert.True(await DrainingOf(host).DrainAsync().OrTimeout());

        Assert.Empty(await client.ReceiveToEndAsync());
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Drain_WithAListenerThatDoesNotUnbind_EndsAfterItsTimeout(bool throws)
    {
        var mayEnd = new TaskCompletionSource();
        Task unbinding = throws ? Task.FromException(new IOException("Unbinding.")) : mayEnd.Task;
        ServerHost host = await ServerHost.StartAsync(
            TransportKind.Sockets,
            static connections => connections.Run(ServerHost.EchoAsync),
            services => services
                .AddSingleton<IConnectionListenerFactory>(provider =>
                    new UnbindingListenerFactory(provider, () => Interlocked.Exchange(ref unbinding, Task.CompletedTask)))
                .AddConnectionDraining(static options => options.Timeout = TimeSpan.FromMilliseconds(300)));

        Task<bool> drained = host.Services.GetRequiredService<ConnectionDraining>().DrainAsync().OrTimeout();

        if (throws)
        {
            await Assert.ThrowsAsync<IOException>(() => drained);

            // As does the host's stop, which begins with the same.
            await Assert.ThrowsAsync<IOException>(() => host.DisposeAsync().AsTask());
        }
        else
        {
            Assert.False(await drained);
            mayEnd.SetResult();
            await host.DisposeAsync();
        }
    }

    [Theory, AllTransports]
    public async Task Drain_WithAConnectionThatStaysIdle_EndsAfterItsTimeout(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind, configure: options => options.Timeout = TimeSpan.FromMilliseconds(300));
        using Socket client = await host.ConnectAsync();
        await AskAsync(client);

        Assert.False(await DrainingOf(host).DrainAsync().OrTimeout());

        // It is still served; to close it is the server's affair.
        Assert.EndsWith("hello", await AskAsync(client), StringComparison.Ordinal);
    }

    [Theory, AllTransports]
    public async Task Stop_OfTheHost_BeginsWithDraining(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind);
        using Socket client = await host.ConnectAsync();
        await AskAsync(client);
        Task stop = host.App.StopAsync();
        Assert.True(DrainingOf(host).IsDraining);
        Assert.True(host.App.Lifetime.ApplicationStopping.IsCancellationRequested, "Who ends WebSockets then would wait for the draining.");

        string answer = await AskAsync(client);

        Assert.Contains("Connection: close", answer, StringComparison.OrdinalIgnoreCase);
        Assert.Empty(await client.ReceiveToEndAsync());
        await stop.OrTimeout();
    }

    [Theory, AllTransports]
    public async Task Drain_RequestThatOffersAnUpgradeNobodyWants_IsAnsweredAsAnyOther(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind);
        using Socket client = await host.ConnectAsync();
        await AskAsync(client);
        _ = DrainingOf(host).DrainAsync();

        string answer = await AskAsync(client, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");

        Assert.Contains("Connection: close", answer, StringComparison.OrdinalIgnoreCase);
        Assert.Empty(await client.ReceiveToEndAsync());
    }

    [Theory, AllTransports]
    public async Task Drain_WebSocketThatIsOpenedThen_Speaks(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind);
        using Socket connected = await host.ConnectAsync();
        await AskAsync(connected);
        _ = DrainingOf(host).DrainAsync();
        using var handler = new SocketsHttpHandler { ConnectCallback = (_, _) => new ValueTask<Stream>(new NetworkStream(connected)) };
        using var invoker = new HttpMessageInvoker(handler);
        using var socket = new ClientWebSocket();

        await socket.ConnectAsync(new UriBuilder(host.Address) { Scheme = "ws" }.Uri, invoker, CancellationToken.None).OrTimeout();

        await socket.SendAsync(new byte[] { 7 }, WebSocketMessageType.Binary, endOfMessage: true, CancellationToken.None).OrTimeout();
        byte[] received = new byte[1];
        await socket.ReceiveAsync(received, CancellationToken.None).OrTimeout();
        Assert.Equal(7, received[0]);
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None).OrTimeout();
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(3_600_001)]
    public void Timeout_OutsideItsLimits_IsRefused(int milliseconds)
    {
        var options = new ConnectionDrainingOptions { Timeout = TimeSpan.FromMilliseconds(milliseconds) };

        OptionsValidationException error = Assert.Throws<OptionsValidationException>(options.Validate);

        Assert.StartsWith("ConnectionDrainingOptions.Timeout is ", error.Message, StringComparison.Ordinal);
    }

    private static Task<KestrelHost> StartAsync(
        TransportKind kind, Action<ListenOptions>? listen = null, Action<ConnectionDrainingOptions>? configure = null) => KestrelHost.StartAsync(
        kind, app => app.UseWebSockets().Run(AnswerAsync), listen, builder => builder.Services.AddConnectionDraining(configure ?? (static _ => { })));

    private static ConnectionDraining DrainingOf(KestrelHost host) => host.App.Services.GetRequiredService<ConnectionDraining>();

    private static async Task AnswerAsync(HttpContext http)
    {
        if (http.WebSockets.IsWebSocketRequest)
        {
            using WebSocket socket = await http.WebSockets.AcceptWebSocketAsync();
            byte[] buffer = new byte[16];
            ValueWebSocketReceiveResult received = await socket.ReceiveAsync(buffer.AsMemory(), CancellationToken.None);
            await socket.SendAsync(buffer.AsMemory(0, received.Count), WebSocketMessageType.Binary, endOfMessage: true, CancellationToken.None);
            await socket.ReceiveAsync(buffer.AsMemory(), CancellationToken.None);
            await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
            return;
        }

        string answer = "hello";
        if (http.Request.Method == HttpMethods.Post)
        {
            using var body = new MemoryStream();
            await http.Request.Body.CopyToAsync(body);
            answer = $"{body.Length}";
        }

        http.Response.ContentLength = answer.Length;
        await http.Response.WriteAsync(answer);
    }

    // Up to the five bytes of the answer's body.
    private static async Task<string> AskAsync(Socket client, string request = Get)
    {
        await client.SendAsync(request);
        string answer = "";
        while (!answer.EndsWith("\r\n\r\nhello", StringComparison.Ordinal))
        {
            answer += await client.ReceiveTextAsync(1);
        }

        return answer;
    }
}
