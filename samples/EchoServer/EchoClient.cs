using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Connections;

namespace EchoServer;

/// <summary>Sends the lines of standard input, one at a time, and prints what comes back.</summary>
internal static class EchoClient
{
    public static async Task<int> RunAsync(IConnectionFactory connections, EndPoint server)
    {
        try
        {
            await using ConnectionContext connection = await connections.ConnectAsync(server);
            Console.WriteLine($"Connected to {connection.RemoteEndPoint}. Type a line; an empty one, or Ctrl+D, ends.");
            while (Console.ReadLine() is { Length: > 0 } line)
            {
                await connection.Transport.Output.WriteAsync(Encoding.UTF8.GetBytes(line + "\n"));
                if (await ReadLineAsync(connection.Transport.Input) is not { } echo)
                {
                    Console.Error.WriteLine("The server closed the connection.");
                    return 1;
                }

                Console.WriteLine($"echo: {echo}");
            }

            return 0;
        }
        catch (Exception e) when (e is SocketException or ConnectionResetException or ConnectionAbortedException)
        {
            Console.Error.WriteLine($"{server}: {e.Message}");
            return 1;
        }
    }

    /// <returns>The next line, or null if the other side closed before one was complete.</returns>
    private static async Task<string?> ReadLineAsync(PipeReader input)
    {
        while (true)
        {
            ReadResult result = await input.ReadAsync();
            if (result.Buffer.PositionOf((byte)'\n') is { } end)
            {
                string line = Encoding.UTF8.GetString(result.Buffer.Slice(0, end));
                input.AdvanceTo(result.Buffer.GetPosition(1, end));
                return line;
            }

            // All of it was looked at, none of it is used up yet.
            input.AdvanceTo(result.Buffer.Start, result.Buffer.End);
            if (result.IsCompleted)
            {
                return null;
            }
        }
    }
}
