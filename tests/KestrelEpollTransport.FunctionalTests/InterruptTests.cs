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
    private const int Clients = 16;
    private const int ConnectionsEach = 30;
    private const int RequestsEach = 10;

    // Where handlers run on the runtime's pool its own queues lose work to the interrupt, now and then: on Sockets too.
    [Theory]
    [InlineData(TransportKind.EpollAdaptive, true)]
    [InlineData(TransportKind.EpollAdaptive, false)]
    [InlineData(TransportKind.EpollInline, true)]
    [InlineData(TransportKind.EpollInline, false)]
    public async Task Handlers_ThatInterruptTheirThreads_AreAllServed(TransportKind kind, bool isUnix) =>
        // Not on the pool's threads, which are interrupted.
        await OnThread(() => AssertAllServed(kind, isUnix ? Net.NewAbstractEndPoint() : Net.AnyLoopbackPort));

    private static void AssertAllServed(TransportKind kind, EndPoint endPoint)
    {
        var transport = new Transport(kind);
        IConnectionListener listener = transport.BindAsync(endPoint).GetAwaiter().GetResult();
        Task serving = OnThread(() =>
        {
            while (listener.AcceptAsync().AsTask().GetAwaiter().GetResult() is { } connection)
            {
                ThreadPool.QueueUserWorkItem(_ => _ = EchoAsync(connection));
            }
        });

        Task[] clients = [.. Enumerable.Range(0, Clients).Select(_ => OnThread(() => Request(listener.EndPoint)))];
        Task.WhenAll(clients).OrTimeout().GetAwaiter().GetResult();

        Assert.DoesNotContain(transport.Logs.Of(kind), entry => entry.Level >= LogLevel.Error);
        listener.UnbindAsync().AsTask().OrTimeout().GetAwaiter().GetResult();
        serving.OrTimeout().GetAwaiter().GetResult();
        (transport.Factory as IDisposable)?.Dispose();
    }

    // A new connection now and then: accepting, registering and closing take locks too.
    private static void Request(EndPoint endPoint)
    {
        byte[] one = [1];
        for (int i = 0; i < ConnectionsEach; i++)
        {
            using Socket client = Net.CreateClient(endPoint);
            client.ReceiveTimeout = (int)Timeouts.Limit.TotalMilliseconds;
            client.Connect(endPoint);
            for (int j = 0; j < RequestsEach; j++)
            {
                client.Send(one);
                Assert.Equal(1, client.Receive(one));
            }
        }
    }

    private static async Task EchoAsync(ConnectionContext connection)
    {
        ValueTask<ReadResult> next = connection.Transport.Input.ReadAsync();
        while (true)
        {
            ReadResult result = await next;
            if (result.IsCompleted)
            {
                break;
            }

            Wait();
            Thread.CurrentThread.Interrupt();
            ValueTask<FlushResult> flush = connection.Transport.Output.WriteAsync(result.Buffer.ToArray());
            connection.Transport.Input.AdvanceTo(result.Buffer.End);
            next = connection.Transport.Input.ReadAsync();
            if (Thread.CurrentThread.IsThreadPoolThread)
            {
                // Other tests run on it later.
                Wait();
            }

            await flush;
        }

        await connection.DisposeAsync();
    }

    private static void Wait()
    {
        try
        {
            Thread.Sleep(1);
        }
        catch (ThreadInterruptedException)
        {
            // That one, or one of a request before this one on the same thread.
        }
    }

    private static Task OnThread(Action run) =>
        Task.Factory.StartNew(run, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
}
