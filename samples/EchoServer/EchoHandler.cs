using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace EchoServer;

/// <summary>Sends back what comes, until the client ends, or the server asks for the end.</summary>
internal sealed class EchoHandler : ConnectionHandler
{
    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        // Cancelled when the host stops, and when the connection was idle: the wait for more ends, and an answer is not cut off.
        CancellationToken closing = connection.Features.GetRequiredFeature<IConnectionLifetimeNotificationFeature>().ConnectionClosedRequested;
        PipeWriter output = connection.Transport.Output;
        ReadResult received;
        FlushResult sent;
        do
        {
            received = await connection.Transport.Input.ReadAsync(closing);
            foreach (ReadOnlyMemory<byte> segment in received.Buffer)
            {
                output.Write(segment.Span);
            }

            connection.Transport.Input.AdvanceTo(received.Buffer.End);

            // Waits when the client doesn't read, so a slow client costs a bounded amount of memory.
            sent = await output.FlushAsync();
        }
        while (!received.IsCompleted && !sent.IsCompleted);
    }
}
