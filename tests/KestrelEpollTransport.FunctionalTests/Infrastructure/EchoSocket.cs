using System.Net.WebSockets;
using Microsoft.AspNetCore.Http;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>A WebSocket whose server sends back what it gets, and a client that makes sure of it.</summary>
internal static class EchoSocket
{
    private static readonly HttpMessageInvoker s_invoker = new(KestrelHost.CreateHandler());

    public static async Task ServeAsync(HttpContext context)
    {
        using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
        byte[] buffer = new byte[16 * 1024];
        while (await socket.ReceiveAsync(buffer.AsMemory(), default) is { MessageType: not WebSocketMessageType.Close } part)
        {
            await socket.SendAsync(buffer.AsMemory(0, part.Count), part.MessageType, part.EndOfMessage, default);
        }

        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "bye", default);
    }

    /// <summary>Connects to /socket, by this version only. All of one host and HTTP/2 share a connection.</summary>
    public static async Task<ClientWebSocket> ConnectAsync(KestrelHost host, Version version)
    {
        var client = new ClientWebSocket();
        client.Options.HttpVersion = version;
        client.Options.HttpVersionPolicy = HttpVersionPolicy.RequestVersionExact;
        var address = new UriBuilder(host.Address) { Scheme = host.Address.Scheme == "https" ? "wss" : "ws", Path = "/socket" };
        await client.ConnectAsync(address.Uri, s_invoker, default).OrTimeout();
        return client;
    }

    /// <summary>Messages of many sizes, and the close.</summary>
    public static async Task AssertEchoesAsync(WebSocket client)
    {
        foreach (int size in new[] { 1, 125, 4096, 70_000, 1_000_000 })
        {
            await AssertEchoesAsync(client, size);
        }

        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, "done", default).OrTimeout();
        Assert.Equal(WebSocketState.Closed, client.State);
        Assert.Equal("bye", client.CloseStatusDescription);
    }

    public static async Task AssertEchoesAsync(WebSocket client, int size)
    {
        byte[] message = Net.Pattern(size);
        Task send = client.SendAsync(message, WebSocketMessageType.Binary, endOfMessage: true, default);
        byte[] echo = new byte[size];
        for (int received = 0; received < size;)
        {
            received += (await client.ReceiveAsync(echo.AsMemory(received), default).OrTimeout()).Count;
        }

        await send.OrTimeout();
        Net.AssertSame(message, echo);
    }
}
