using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>
/// Application code that interrupts the thread it runs on, as a watchdog does that strikes late: the interrupt ends the next wait
/// of that thread, whosever it is. It never ends a thread, a loop, a listener or a connection of the transport.
/// </summary>
[Collection(RunsAlone.Name)]
public class InterruptTests
{
    private const int Clients = 64;
    private const int Requests = 150;

    [Theory, AllTransports(true), AllTransports(false)]
    public async Task Handlers_ThatInterruptTheirThreads_AreAllServed(TransportKind kind, bool isUnix)
    {
        await using var transport = new Transport(kind);
        EndPoint endPoint = isUnix ? Net.NewAbstractEndPoint() : Net.AnyLoopbackPort;
        IConnectionListener listener = await transport.BindAsync(endPoint);
        Task serving = Task.Run(async () =>
        {
            while (await listener.AcceptAsync() is { } connection)
            {
                _ = Task.Run(() => EchoAsync(connection));
            }
        });

        await Task.WhenAll(Enumerable.Range(0, Clients).Select(_ => Task.Run(() => RequestAsync(listener.EndPoint)))).OrTimeout();

        using Socket last = await Net.ConnectAsync(listener.EndPoint);
        await last.SendAsync("x");
        Assert.Equal("x", await last.ReceiveTextAsync(1));
        Assert.DoesNotContain(transport.Logs.Of(kind), entry => entry.Level >= LogLevel.Error);
        await listener.UnbindAsync().OrTimeout();
        await serving.OrTimeout();
    }

    // A new connection now and then: accepting, registering and closing take locks too.
    private static async Task RequestAsync(EndPoint endPoint)
    {
        for (int i = 0; i < Requests; i += 10)
        {
            using Socket client = await Net.ConnectAsync(endPoint);
            for (int j = 0; j < 10; j++)
            {
                await client.SendAsync("x");
                Assert.Equal("x", await client.ReceiveTextAsync(1));
            }
        }
    }

    private static async Task EchoAsync(ConnectionContext connection)
    {
        await using (connection)
        {
            while (true)
            {
                ReadResult result = await connection.Transport.Input.ReadAsync();
                Wait();
                Thread.CurrentThread.Interrupt();
                await connection.Transport.Output.WriteAsync(result.Buffer.ToArray());
                connection.Transport.Input.AdvanceTo(result.Buffer.End);
                if (result.IsCompleted)
                {
                    return;
                }
            }
        }
    }

    private static void Wait()
    {
        try
        {
            Thread.Sleep(1);
        }
        catch (ThreadInterruptedException)
        {
            // Of a request before this one, on the same thread.
        }
    }
}
