using System.Net.WebSockets;

namespace Restart;

/// <summary>Sends back what a WebSocket says, until either side has enough: the client, or the server, which ends with 1001 (going away, RFC 6455, 7.4.1).</summary>
internal static class EchoSocket
{
    private static readonly TimeSpan s_goodbye = TimeSpan.FromSeconds(2);

    public static async Task ServeAsync(HttpContext http, IHostApplicationLifetime lifetime)
    {
        if (!http.WebSockets.IsWebSocketRequest)
        {
            http.Response.StatusCode = StatusCodes.Status400BadRequest;
            return;
        }

        using WebSocket socket = await http.WebSockets.AcceptWebSocketAsync();
        var stopping = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using CancellationTokenRegistration _ = lifetime.ApplicationStopping.Register(stopping.SetResult);
        using var end = new CancellationTokenSource();
        byte[] buffer = new byte[4096];
        bool isGoing = false;
        try
        {
            while (true)
            {
                Task<WebSocketReceiveResult> receiving = socket.ReceiveAsync(buffer, end.Token);
                if (!isGoing && await Task.WhenAny(receiving, stopping.Task) == stopping.Task)
                {
                    // Once, and then receive on: the client answers with a close of its own.
                    isGoing = true;
                    end.CancelAfter(s_goodbye);
                    await socket.CloseOutputAsync(WebSocketCloseStatus.EndpointUnavailable, "The server is replaced.", CancellationToken.None);
                }

                WebSocketReceiveResult received = await receiving;
                if (received.MessageType == WebSocketMessageType.Close)
                {
                    break;
                }

                if (!isGoing)
                {
                    await socket.SendAsync(buffer.AsMemory(0, received.Count), received.MessageType, received.EndOfMessage, CancellationToken.None);
                }
            }

            if (!isGoing)
            {
                await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
            }
        }
        catch (Exception exception) when (exception is WebSocketException or OperationCanceledException)
        {
            // The client is gone, or does not say goodbye.
        }
    }
}
