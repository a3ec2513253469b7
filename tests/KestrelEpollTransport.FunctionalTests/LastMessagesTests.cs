using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The last that a client sends over an upgraded connection before it closes or breaks: the application gets all of it.</summary>
public class LastMessagesTests
{
    private const int Clients = 20;
    private const int Messages = 50;

    private const string LosesBytesToAReset = "Sockets loses what it has not received when a reset comes";

    private const string Upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: bytes\r\nConnection: Upgrade\r\n\r\n";

    private const string UpgradeToWebSocket =
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    private readonly ConcurrentQueue<string> _seen = [];

    [Theory]
    [AllTransports(Wire.Tcp, 0, false), AllTransports(Wire.Tcp, 2, false), AllTransports(Wire.Tcp, 2, true)]
    [AllTransports(Wire.Unix, 0, false), AllTransports(Wire.Unix, 2, false), AllTransports(Wire.Unix, 2, true)]
    public async Task UpgradedConnection_BytesThenClose_AreAllRead(TransportKind kind, Wire wire, int pauseMs, bool halfClose)
    {
        const int Size = 50_000;
        await using WireHost host = await WireHost.StartAsync(kind, context => CountBytesAsync(context, pauseMs));

        await Task.WhenAll(Enumerable.Range(0, Clients).Select(async _ =>
        {
            using Socket client = await UpgradeAsync(host, wire, Upgrade);
            await client.SendAllAsync(new byte[Size]);
            if (halfClose)
            {
                client.Shutdown(SocketShutdown.Send);
                Assert.Empty(await client.ReceiveToEndAsync());
            }
        }));

        await AssertSeenAsync(host, Clients, $"{Size} bytes, end");
    }

    [Theory]
    [AllTransports(Wire.Tcp, 0), AllTransports(Wire.Tcp, 2), AllTransports(Wire.Unix, 0), AllTransports(Wire.Unix, 2)]
    public async Task WebSocket_MessagesCloseFrameThenClose_AreAllReceived(TransportKind kind, Wire wire, int pauseMs)
    {
        await using WireHost host = await WireHost.StartAsync(kind, app =>
        {
            app.UseWebSockets();
            app.Run(context => CountMessagesAsync(context, pauseMs));
        });
        byte[] frames = await FramesAsync();

        await Task.WhenAll(Enumerable.Range(0, Clients).Select(async _ =>
        {
            using Socket client = await UpgradeAsync(host, wire, UpgradeToWebSocket);
            await client.SendAllAsync(frames);
        }));

        await AssertSeenAsync(host, Clients, $"{Messages} messages, close");
    }

    [Theory]
    [EpollTransports(LosesBytesToAReset, Wire.Tcp, 0), EpollTransports(LosesBytesToAReset, Wire.Tcp, 2)]
    [EpollTransports(LosesBytesToAReset, Wire.Unix, 0), EpollTransports(LosesBytesToAReset, Wire.Unix, 2)]
    public async Task UpgradedConnection_BytesThenReset_AreReadBeforeTheReset(TransportKind kind, Wire wire, int pauseMs)
    {
        const int Size = 60_000;
        const int Resets = 200;
        await using WireHost host = await WireHost.StartAsync(kind, context => CountBytesAsync(context, pauseMs, "hi"));

        for (int i = 0; i < Resets; i++)
        {
            using Socket client = await UpgradeAsync(host, wire, Upgrade);
            // On a unix socket it is a byte left unread that makes a reset of the close.
            Assert.Equal("h", await client.ReceiveTextAsync(1));
            await client.SendAllAsync(new byte[Size]);
            client.Reset();
        }

        await host.WaitForEndsAsync(Resets);
        string all = $"{Size} bytes, {nameof(ConnectionResetException)}";
        Assert.InRange(_seen.Count(seen => seen == all), Resets * 99 / 100, Resets);
        Assert.All(_seen, seen => Assert.EndsWith(nameof(ConnectionResetException), seen, StringComparison.Ordinal));
        host.Host.AssertTransportWasCalm();
    }

    private static async Task<Socket> UpgradeAsync(WireHost host, Wire wire, string request)
    {
        Socket client = await host.ConnectAsync(wire);
        await client.SendAsync(request);
        await HttpConnectionEndTests.ReceiveUntilAsync(client, "\r\n\r\n");
        return client;
    }

    /// <summary>What a client's WebSocket sends, so that one send can carry all of it.</summary>
    private static async Task<byte[]> FramesAsync()
    {
        using var frames = new MemoryStream();
        using WebSocket client = WebSocket.CreateFromStream(frames, new WebSocketCreationOptions());
        for (int i = 0; i < Messages; i++)
        {
            await client.SendAsync(new byte[100], WebSocketMessageType.Binary, endOfMessage: true, default).OrTimeout();
        }

        await client.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, default).OrTimeout();
        return frames.ToArray();
    }

    private async Task CountBytesAsync(HttpContext context, int pauseMs, string greeting = "")
    {
        await using Stream stream = await context.Features.GetRequiredFeature<IHttpUpgradeFeature>().UpgradeAsync();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(greeting));
        byte[] buffer = new byte[4096];
        int bytes = 0;
        string end = "end";
        try
        {
            while (await stream.ReadAsync(buffer) is var read and > 0)
            {
                bytes += read;
                await PauseAsync(pauseMs);
            }
        }
        catch (Exception error) when (error is IOException or ConnectionAbortedException)
        {
            end = error.GetType().Name;
        }

        _seen.Enqueue(string.Create(CultureInfo.InvariantCulture, $"{bytes} bytes, {end}"));
    }

    private async Task CountMessagesAsync(HttpContext context, int pauseMs)
    {
        using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
        byte[] buffer = new byte[4096];
        int messages = 0;
        string end = "close";
        try
        {
            while (await socket.ReceiveAsync(buffer.AsMemory(), default) is { MessageType: not WebSocketMessageType.Close })
            {
                messages++;
                await PauseAsync(pauseMs);
            }
        }
        catch (Exception error) when (error is IOException or ConnectionAbortedException or WebSocketException)
        {
            end = error.GetType().Name;
        }

        _seen.Enqueue(string.Create(CultureInfo.InvariantCulture, $"{messages} messages, {end}"));
    }

    // Not a wait for anything: the application takes this long.
    private static Task PauseAsync(int milliseconds) => milliseconds == 0 ? Task.CompletedTask : Task.Delay(milliseconds);

    private async Task AssertSeenAsync(WireHost host, int connections, string expected)
    {
        await host.WaitForEndsAsync(connections);
        Assert.All(_seen, seen => Assert.Equal(expected, seen));
        Assert.Equal(connections, _seen.Count);
        host.Host.AssertTransportWasCalm();
    }
}
