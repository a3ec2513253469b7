using System.Net;
using System.Net.WebSockets;

namespace RestartTool;

/// <summary>Says something that has to come back, until the server says goodbye.</summary>
internal sealed class WebSocketClient(Figures figures, IPEndPoint server) : Client(figures, server)
{
    private readonly byte[] _message = new byte[16];
    private readonly byte[] _buffer = new byte[64];
    private ClientWebSocket? _socket;

    protected override async Task AskAsync(CancellationToken timeout)
    {
        if (_socket is null)
        {
            _socket = new ClientWebSocket();
            await _socket.ConnectAsync(new Uri($"ws://{Server}/echo"), timeout);
            Figures.NoteConnection();
        }

        Random.Shared.NextBytes(_message);
        try
        {
            await _socket.SendAsync(_message, WebSocketMessageType.Binary, endOfMessage: true, timeout);
        }
        catch (WebSocketException) when (_socket.State is WebSocketState.Open or WebSocketState.CloseReceived or WebSocketState.Aborted)
        {
            // What was said before it is there to be read, and counts.
        }

        WebSocketReceiveResult received = await _socket.ReceiveAsync(_buffer, timeout);
        if (received.MessageType != WebSocketMessageType.Close)
        {
            if (!_buffer.AsSpan(0, received.Count).SequenceEqual(_message))
            {
                throw new InvalidDataException("Something else came back.");
            }

            Figures.NoteAnswer();
            return;
        }

        if (received.CloseStatus != WebSocketCloseStatus.EndpointUnavailable)
        {
            throw new InvalidDataException($"It was closed with {received.CloseStatus}.");
        }

        Figures.NoteGoingAway();
        await _socket.CloseOutputAsync(WebSocketCloseStatus.EndpointUnavailable, null, timeout);
        Drop();
    }

    protected override void Drop()
    {
        _socket?.Dispose();
        _socket = null;
    }
}
