using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Many connections at once: nobody gets another's bytes, and nobody starves another.</summary>
public class ConcurrencyTests
{
    [Theory, AllTransports]
    public async Task ManyConnections_EchoingWhileOthersBreak_GetTheirOwnBytes(TransportKind kind)
    {
        const int Connections = 100;
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        Task serving = EchoServer.ServeAsync(listener);

        await Task.WhenAll(Enumerable.Range(0, Connections).Select(i => Task.Run(async () =>
        {
            using Socket client = await Net.ConnectAsync(listener.EndPoint);
            // Sizes differ, and with them the seeds: no two streams carry the same bytes.
            byte[] data = Net.Pattern(100_000 + i);
            Task send = client.SendAllAsync(data);
            if (i % 4 == 0)
            {
                await client.ReceiveExactlyAsync(1000);
                client.Reset();
                await send.ContinueWith(_ => { }, TaskScheduler.Default);
                return;
            }

            Net.AssertSame(data, await client.ReceiveExactlyAsync(data.Length));
            await send;
            client.Shutdown(SocketShutdown.Send);
            Assert.Empty(await client.ReceiveToEndAsync());
        }))).OrTimeout();

        await listener.UnbindAsync().OrTimeout();
        await serving.OrTimeout();
        Assert.DoesNotContain(transport.Logs.Of(kind), e => e.Level > Microsoft.Extensions.Logging.LogLevel.Debug);
    }

    [Theory, AllTransports]
    public async Task Flood_OnOneConnection_LeavesOthersServed(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        Task serving = EchoServer.ServeAsync(listener);
        using var stop = new CancellationTokenSource();

        // More floods than loops, so that every loop has one.
        Task[] floods = [.. Enumerable.Range(0, 4).Select(_ => Task.Run(() => FloodAsync(listener, stop.Token)))];
        for (int i = 0; i < 20; i++)
        {
            using Socket client = await Net.ConnectAsync(listener.EndPoint);
            await client.SendAsync("ping");
            Assert.Equal("ping", await client.ReceiveTextAsync(4));
        }

        Assert.All(floods, flood => Assert.False(flood.IsCompleted));
        await stop.CancelAsync();
        await Task.WhenAll(floods).OrTimeout();
        await listener.UnbindAsync().OrTimeout();
        await serving.OrTimeout();
    }

    [Theory, AllTransports]
    public async Task SlowClients_NotReading_LeaveOthersServed(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        var slow = new List<(Socket Client, ConnectionContext Server, Task<FlushResult> Flush)>();
        for (int i = 0; i < 10; i++)
        {
            Socket client = Net.CreateClient(listener.EndPoint);
            client.ReceiveBufferSize = 16 * 1024;
            await client.ConnectAsync(listener.EndPoint).OrTimeout();
            ConnectionContext server = await BindTests.AcceptAsync(listener);
            slow.Add((client, server, server.Transport.Output.WriteAsync(new byte[8 * 1024 * 1024]).AsTask()));
        }

        for (int i = 0; i < 20; i++)
        {
            await BindTests.AssertEchoAsync(listener, listener.EndPoint);
        }

        foreach ((Socket client, ConnectionContext server, Task<FlushResult> flush) in slow)
        {
            Assert.False(flush.IsCompleted);
            client.Reset();
            Assert.True((await flush.OrTimeout()).IsCompleted);
            await server.DisposeAsync().OrTimeout();
        }
    }

    private static async Task FloodAsync(IConnectionListener listener, CancellationToken stop)
    {
        using Socket client = await Net.ConnectAsync(listener.EndPoint);
        byte[] data = new byte[64 * 1024];
        Task draining = Task.Run(async () =>
        {
            byte[] buffer = new byte[64 * 1024];
            while (await client.ReceiveAsync(buffer) > 0)
            {
            }
        }, CancellationToken.None);
        while (!stop.IsCancellationRequested)
        {
            await client.SendAllAsync(data);
        }

        client.Shutdown(SocketShutdown.Send);
        await draining.OrTimeout();
    }
}
