using System.Net.WebSockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace TransportBench.Servers;

/// <summary>Sends back every message.</summary>
internal static class WebSocketEcho
{
    public static void Map(IApplicationBuilder branch)
    {
        branch.UseWebSockets();
        branch.Run(EchoAsync);
    }

    private static async Task EchoAsync(HttpContext context)
    {
        using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
        byte[] buffer = new byte[4096];
        try
        {
            while (true)
            {
                ValueWebSocketReceiveResult message = await socket.ReceiveAsync(buffer.AsMemory(), context.RequestAborted);
                if (message.MessageType == WebSocketMessageType.Close)
                {
                    await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, statusDescription: null, context.RequestAborted);
                    return;
                }

                await socket.SendAsync(buffer.AsMemory(0, message.Count), message.MessageType, message.EndOfMessage, context.RequestAborted);
            }
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException)
        {
            // The load ends by closing its connections without a word.
        }
    }
}
