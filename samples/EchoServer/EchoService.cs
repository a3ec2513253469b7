using System.Buffers;
using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Hosting;

namespace EchoServer;

/// <summary>Listens, serves every connection in a task of its own, and ends them all before the host stops.</summary>
internal sealed class EchoService(IConnectionListenerFactory listeners, EndPoint endpoint) : BackgroundService
{
    private static readonly TimeSpan s_goodbye = TimeSpan.FromSeconds(3);

    private readonly ConcurrentDictionary<ConnectionContext, Task> _connections = new();
    private IConnectionListener? _listener;

    /// <summary>Binds: where that fails, the host does not start.</summary>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        _listener = await listeners.BindAsync(endpoint, cancellationToken);
        await base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await using (IConnectionListener listener = _listener!)
        {
            Console.WriteLine($"""
                Echoing on {listener.EndPoint}. Ctrl+C stops it. To try it:
                  dotnet run --project samples/EchoServer -- client{ClientOption(listener.EndPoint)}
                  nc {ClientAddress(listener.EndPoint)}
                """);
            await AcceptUntilStoppedAsync(listener, stoppingToken);

            // Whoever is connected is still served when nobody new can come: first unbind, take who was waiting, then say goodbye.
            await listener.UnbindAsync(CancellationToken.None);
            await AcceptUntilStoppedAsync(listener, CancellationToken.None);
            await EndConnectionsAsync();
        }
    }

    private async Task AcceptUntilStoppedAsync(IConnectionListener listener, CancellationToken stoppingToken)
    {
        try
        {
            while (await listener.AcceptAsync(stoppingToken) is { } connection)
            {
                // The entry exists before the task can end and remove it.
                var start = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                _connections[connection] = ServeAsync(connection, start.Task);
                start.SetResult();
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The host stops.
        }
    }

    private async Task ServeAsync(ConnectionContext connection, Task start)
    {
        await start;
        try
        {
            // Disposing sends what is still to be sent, and then closes.
            await using (connection)
            {
                await EchoAsync(connection.Transport);
            }
        }
        catch (Exception e) when (e is ConnectionResetException or ConnectionAbortedException)
        {
            // The client went away, or we stopped waiting for it. Both are ordinary ends of a connection.
        }
        finally
        {
            _connections.TryRemove(connection, out _);
        }
    }

    private static async Task EchoAsync(IDuplexPipe transport)
    {
        while (true)
        {
            ReadResult received = await transport.Input.ReadAsync();
            foreach (ReadOnlyMemory<byte> segment in received.Buffer)
            {
                transport.Output.Write(segment.Span);
            }

            transport.Input.AdvanceTo(received.Buffer.End);

            // Waits when the client doesn't read, so a slow client costs a bounded amount of memory.
            FlushResult sent = await transport.Output.FlushAsync();

            // Cancelled: the host stops. Completed: the other side sends, or receives, no more.
            if (received.IsCanceled || received.IsCompleted || sent.IsCompleted)
            {
                return;
            }
        }
    }

    private async Task EndConnectionsAsync()
    {
        foreach (ConnectionContext connection in _connections.Keys)
        {
            connection.Transport.Input.CancelPendingRead();
        }

        try
        {
            await Task.WhenAll(_connections.Values).WaitAsync(s_goodbye);
        }
        catch (TimeoutException)
        {
            foreach (ConnectionContext connection in _connections.Keys)
            {
                connection.Abort(new ConnectionAbortedException("The server is stopping."));
            }

            await Task.WhenAll(_connections.Values);
        }
    }

    private static string ClientOption(EndPoint endpoint) =>
        endpoint is IPEndPoint ip ? $" --port {ip.Port}" : $" --unix {endpoint}";

    private static string ClientAddress(EndPoint endpoint) =>
        endpoint is IPEndPoint ip ? $"{ip.Address} {ip.Port}" : $"-U {endpoint}";
}
