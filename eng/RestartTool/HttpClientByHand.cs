using System.Net;
using System.Net.Sockets;
using System.Text;

namespace RestartTool;

/// <summary>HTTP/1.1 over a plain socket, so that nothing is retried behind our back. Keeps its connection as long as the server does, or takes a new one each time.</summary>
internal sealed class HttpClientByHand(Figures figures, IPEndPoint server, bool keepsConnection) : Client(figures, server)
{
    private static readonly byte[] s_request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray();
    private static readonly byte[] s_lastRequest = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"u8.ToArray();

    private readonly byte[] _buffer = new byte[1024];
    private Socket? _socket;

    protected override async Task AskAsync(CancellationToken timeout)
    {
        bool wasUsed = _socket is not null;
        if (!wasUsed)
        {
            _socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await _socket.ConnectAsync(Server, timeout);
            Figures.NoteConnection();
        }

        int received;
        try
        {
            await _socket!.SendAsync(keepsConnection ? s_request : s_lastRequest, timeout);
            received = await _socket.ReceiveAsync(_buffer, timeout);
        }
        catch (SocketException exception) when (wasUsed && exception.SocketErrorCode == SocketError.Shutdown)
        {
            // EPIPE: the server's FIN had come, and was overtaken.
            received = 0;
        }

        if (received == 0 && wasUsed)
        {
            Figures.NoteToRetry();
            Drop();
            return;
        }

        string answer = await ReceiveRestAsync(received, timeout);
        Figures.NoteAnswer();
        if (!keepsConnection || answer.Contains("Connection: close", StringComparison.OrdinalIgnoreCase))
        {
            await ReceiveEndAsync(timeout);
            Drop();
        }
    }

    protected override void Drop()
    {
        _socket?.Dispose();
        _socket = null;
    }

    // The body is one line.
    private async Task<string> ReceiveRestAsync(int received, CancellationToken timeout)
    {
        int now = received;
        while (true)
        {
            string answer = Encoding.ASCII.GetString(_buffer, 0, received);
            if (now == 0)
            {
                throw new InvalidDataException($"The server ended a connection with {received} bytes of an answer.");
            }

            if (!"HTTP/1.1 200 OK\r\n".StartsWith(answer[..Math.Min(17, answer.Length)], StringComparison.Ordinal))
            {
                throw new InvalidDataException(answer);
            }

            // Chunked or not: the last line of the body, or the last chunk.
            if (answer.Contains("\r\n\r\n", StringComparison.Ordinal)
                && (answer.Contains("Content-Length", StringComparison.Ordinal) ? answer.EndsWith('\n') && !answer.EndsWith("\r\n", StringComparison.Ordinal) : answer.EndsWith("0\r\n\r\n", StringComparison.Ordinal)))
            {
                return answer;
            }

            now = await _socket!.ReceiveAsync(_buffer.AsMemory(received), timeout);
            received += now;
        }
    }

    private async Task ReceiveEndAsync(CancellationToken timeout)
    {
        if (await _socket!.ReceiveAsync(_buffer, timeout) != 0)
        {
            throw new InvalidDataException("Something came behind the last answer.");
        }
    }
}
