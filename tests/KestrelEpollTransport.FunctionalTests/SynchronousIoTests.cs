using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>
/// Handlers that block until bytes come or go. On a thread of their own they are served. Under UnsafeInline they
/// would wait for the very thread that they block: they are told so, soon, and the server goes on.
/// </summary>
public class SynchronousIoTests
{
    private const int Half = 100_000;

    [Theory, AllTransports(Wire.Tcp), AllTransports(Wire.Unix)]
    public async Task SynchronousRead_OfABodyThatComesLater_IsServedOrRefused(TransportKind kind, Wire wire)
    {
        var waits = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using WireHost host = await StartAsync(kind, context =>
        {
            byte[] buffer = new byte[4096];
            int bytes = 0;
            while (bytes < 2 * Half)
            {
                if (bytes == Half)
                {
                    waits.SetResult();
                }

                bytes += context.Request.Body.Read(buffer, 0, Math.Min(buffer.Length, bytes < Half ? Half - bytes : buffer.Length));
            }

            return context.Response.WriteAsync("read");
        });
        using Socket client = await host.ConnectAsync(wire);
        await client.SendAsync($"POST /sync HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {2 * Half}\r\n\r\n");
        await client.SendAllAsync(new byte[Half]);

        await (IsRefused(kind) ? WaitForRefusalAsync(host) : waits.Task.OrTimeout());
        await AssertOthersAreServedAsync(host, wire);
        string answer = await ExchangeTheRestAsync(client, new byte[Half]);
        Assert.Equal(!IsRefused(kind), answer.Contains("read", StringComparison.Ordinal));
    }

    [Theory, AllTransports(Wire.Tcp), AllTransports(Wire.Unix)]
    public async Task SynchronousWrite_ToAClientThatReadsLater_IsServedOrRefused(TransportKind kind, Wire wire)
    {
        var waits = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using WireHost host = await StartAsync(kind, context =>
        {
            context.Response.ContentLength = Net.MoreThanTheKernelHolds;
            waits.SetResult();
            context.Response.Body.Write(new byte[Net.MoreThanTheKernelHolds]);
            return Task.CompletedTask;
        });
        using Socket client = await host.ConnectAsync(wire);
        await client.SendAsync("GET /sync HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

        await (IsRefused(kind) ? WaitForRefusalAsync(host) : waits.Task.OrTimeout());
        await AssertOthersAreServedAsync(host, wire);
        string answer = await ExchangeTheRestAsync(client, []);
        // Kestrel catches what a flush throws: what a refused writer had written may still arrive.
        if (!IsRefused(kind))
        {
            Assert.Equal(Net.MoreThanTheKernelHolds, answer.Length - answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) - 4);
        }
    }

    [Theory, AllTransports]
    public async Task SynchronousStream_OfAConnectionHandler_IsServedOrRefused(TransportKind kind)
    {
        var waits = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var ended = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using KestrelHost host = await KestrelHost.StartAsync(kind, _ => Task.CompletedTask, l => l.Run(connection =>
        {
            // The method returns once its await is pending, so that it goes on where the mode says.
            Task reading = ReadAsync(connection.Transport.Input);
            waits.SetResult();
            return reading;
        }));
        using Socket client = await host.ConnectAsync();
        await waits.Task.OrTimeout();
        await client.SendAsync("a");

        if (IsRefused(kind))
        {
            AssertSaysWhatToDo(Assert.IsType<InvalidOperationException>(await ended.Task.OrTimeout()));
        }
        else
        {
            await client.SendAsync("s");
            Assert.Null(await ended.Task.OrTimeout());
        }

        Assert.Empty(await client.ReceiveToEndAsync());

        async Task ReadAsync(PipeReader input)
        {
            ReadResult first = await input.ReadAsync();
            input.AdvanceTo(first.Buffer.GetPosition(1));
            try
            {
                using Stream stream = input.AsStream(leaveOpen: true);
                Assert.Equal('s', stream.ReadByte());
                ended.SetResult(null);
            }
            catch (Exception error) when (error is not OutOfMemoryException)
            {
                ended.SetResult(error);
            }
        }
    }

    private static bool IsRefused(TransportKind kind) => kind.IsOurs() && kind.Scheduling() == ApplicationScheduling.UnsafeInline;

    private static void AssertSaysWhatToDo(Exception error) =>
        Assert.Contains(nameof(ApplicationScheduling.UnsafeInline), error.Message, StringComparison.Ordinal);

    private static Task<WireHost> StartAsync(TransportKind kind, RequestDelegate synchronous) => WireHost.StartAsync(kind, context =>
    {
        if (context.Request.Path != "/sync")
        {
            return context.Response.WriteAsync("fine");
        }

        context.Features.GetRequiredFeature<IHttpBodyControlFeature>().AllowSynchronousIO = true;
        return synchronous(context);
    });

    /// <summary>A reader's exception is the handler's, a writer's is caught and logged by Kestrel: both are in the log.</summary>
    private static async Task WaitForRefusalAsync(WireHost host)
    {
        LogEntry refusal = await host.Host.Logs.WaitForAsync(e => e.Exception is InvalidOperationException).OrTimeout();
        AssertSaysWhatToDo(refusal.Exception!);
    }

    /// <summary>More connections than loops, so that each loop has one.</summary>
    private static async Task AssertOthersAreServedAsync(WireHost host, Wire wire)
    {
        for (int i = 0; i < 8; i++)
        {
            using Socket other = await host.ConnectAsync(wire);
            await other.SendAsync("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            Assert.Contains("fine", await other.ReceiveTextToEndAsync(), StringComparison.Ordinal);
        }
    }

    /// <summary>Whether by FIN or by reset is not what is tested, only that it ends.</summary>
    private static async Task<string> ExchangeTheRestAsync(Socket client, byte[] rest)
    {
        try
        {
            await client.SendAllAsync(rest);
            return await client.ReceiveTextToEndAsync();
        }
        catch (SocketException)
        {
            return string.Empty;
        }
    }
}
