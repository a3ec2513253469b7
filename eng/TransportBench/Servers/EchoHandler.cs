using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;

namespace TransportBench.Servers;

/// <summary>Sends back what comes: a connection without HTTP.</summary>
internal sealed class EchoHandler : ConnectionHandler
{
    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        try
        {
            await EchoAsync(connection.Transport.Input, connection.Transport.Output);
        }
        catch (ConnectionResetException)
        {
            // The load ends by closing its connections, with answers on their way.
        }
    }

    private static async Task EchoAsync(PipeReader input, PipeWriter output)
    {
        while (true)
        {
            ReadResult result = await input.ReadAsync();
            foreach (ReadOnlyMemory<byte> segment in result.Buffer)
            {
                output.Write(segment.Span);
            }

            input.AdvanceTo(result.Buffer.End);
            if (result.IsCompleted || (await output.FlushAsync()).IsCompleted)
            {
                return;
            }
        }
    }
}
