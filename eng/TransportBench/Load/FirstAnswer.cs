using System.Net;
using System.Net.Sockets;
using TransportBench.Client;
using TransportBench.Processes;

namespace TransportBench.Load;

/// <summary>One request on one connection, from this process: where starting another one would be what takes the time.</summary>
internal static class FirstAnswer
{
    private const int LimitMs = 10_000;

    /// <exception cref="LoadFailedException">The answer was wrong, or did not come.</exception>
    public static void Await(int port, Exchange exchange)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = LimitMs };
        socket.Connect(IPAddress.Loopback, port);
        socket.Send(exchange.Request);
        byte[] buffer = new byte[2048];
        int received = 0;
        int read;
        do
        {
            read = socket.Receive(buffer.AsSpan(received));
            received += read;
        }
        while (read > 0 && !buffer.AsSpan(0, received).EndsWith(exchange.AnswerEnd));

        if (!buffer.AsSpan(0, received).StartsWith(exchange.AnswerStart))
        {
            throw new LoadFailedException("the first answer was wrong");
        }
    }
}
