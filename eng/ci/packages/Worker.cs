// What the new worker and console applications serve: each connection is asked for something over HTTP, and answered.
using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Hosting;

namespace worker;

public class Worker(IConnectionListenerFactory listeners) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await using IConnectionListener listener = await listeners.BindAsync(new IPEndPoint(IPAddress.Loopback, 0), stoppingToken);
        Console.WriteLine($"Now listening on: http://{listener.EndPoint}");
        try
        {
            while (await listener.AcceptAsync(stoppingToken) is { } connection)
            {
                _ = AnswerAsync(connection);
            }
        }
        catch (OperationCanceledException)
        {
            // The host stops.
        }
    }

    private static async Task AnswerAsync(ConnectionContext connection)
    {
        await using (connection)
        {
            // Such a request comes in one piece.
            ReadResult request = await connection.Transport.Input.ReadAsync();
            connection.Transport.Input.AdvanceTo(request.Buffer.End);
            await connection.Transport.Output.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nHello World!"u8.ToArray());
        }
    }
}
