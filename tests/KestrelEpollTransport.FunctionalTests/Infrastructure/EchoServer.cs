using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Answers every connection of a listener with its own bytes.</summary>
internal static class EchoServer
{
    /// <summary>Completes after the listener is unbound and the last connection has ended.</summary>
    public static Task ServeAsync(IConnectionListener listener, Action? onAccepted = null) => Task.Run(async () =>
    {
        var connections = new List<Task>();
        while (await listener.AcceptAsync() is { } connection)
        {
            onAccepted?.Invoke();
            connections.Add(Task.Run(() => EchoAsync(connection)));
        }

        await Task.WhenAll(connections);
    });

    private static async Task EchoAsync(ConnectionContext connection)
    {
        await using (connection)
        {
            try
            {
                while (true)
                {
                    ReadResult result = await connection.Transport.Input.ReadAsync();
                    foreach (ReadOnlyMemory<byte> segment in result.Buffer)
                    {
                        await connection.Transport.Output.WriteAsync(segment);
                    }

                    connection.Transport.Input.AdvanceTo(result.Buffer.End);
                    if (result.IsCompleted)
                    {
                        return;
                    }
                }
            }
            catch (ConnectionResetException)
            {
                // Expected of clients that break.
            }
        }
    }
}
