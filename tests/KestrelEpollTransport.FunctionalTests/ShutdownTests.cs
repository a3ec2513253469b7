using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Ends that the server's side brings about without an abort: completion and disposal.</summary>
public class ShutdownTests
{
    [Theory, AllTransports]
    public async Task Output_Completed_SendsAllThenFinAndEndsPendingRead(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Task<ReadResult> read = pair.Input.ReadAsync().AsTask();
        byte[] data = Net.Pattern(50_000);
        await pair.Output.WriteAsync(data).OrTimeout();

        await pair.Output.CompleteAsync().OrTimeout();

        Assert.Equal(data, await pair.Client.ReceiveToEndAsync());
        ConnectionAbortedException error = await Assert.ThrowsAsync<ConnectionAbortedException>(() => read.OrTimeout());
        Assert.EndsWith(ConnectionPair.GracefulReason, error.Message, StringComparison.Ordinal);
        await pair.Closed.OrTimeout();
        await pair.AssertServerLoggedAsync(7);
    }

    [Theory, AllTransports]
    public async Task Output_CompletedWithUnflushedData_SendsItToo(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        "tail"u8.CopyTo(pair.Output.GetSpan(4));
        pair.Output.Advance(4);

        pair.Output.Complete();

        Assert.Equal("tail", await pair.Client.ReceiveTextToEndAsync());
    }

    [Theory, AllTransports]
    public async Task Output_CompletedWithError_FailsReadWithItAndResetsClient(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        var error = new InvalidOperationException("the application failed");
        Task<ReadResult> read = pair.Input.ReadAsync().AsTask();

        await pair.Output.CompleteAsync(error).OrTimeout();

        Assert.Same(error, await Assert.ThrowsAsync<InvalidOperationException>(() => read.OrTimeout()));
        await pair.Closed.OrTimeout();
        await pair.Client.AssertResetAsync();
        await pair.AssertServerLoggedAsync(14, 8);
        Assert.Same(error, pair.Logs.Of(kind)[0].Exception);
        Assert.Contains("because: \"the application failed\"", pair.Logs.Of(kind)[1].Message, StringComparison.Ordinal);
    }

    [Theory, AllTransports]
    public async Task Input_CompletedThenClientSends_ClosesTokenAndKeepsWrites(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Input.CompleteAsync().OrTimeout();

        await pair.Client.SendAsync("nobody reads this");

        await pair.Closed.OrTimeout();
        Assert.False((await pair.Output.WriteTextAsync("hello")).IsCompleted);
        Assert.Equal("hello", await pair.Client.ReceiveTextAsync(5));
        await pair.AssertServerLoggedAsync(7);
    }

    [Theory, AllTransports]
    public async Task Input_CompletedWithError_KeepsWritesAndEndsWithFin(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        await pair.Input.CompleteAsync(new InvalidOperationException("cannot parse")).OrTimeout();

        Assert.False((await pair.Output.WriteTextAsync("hello")).IsCompleted);
        Assert.Equal("hello", await pair.Client.ReceiveTextAsync(5));
        await pair.AssertServerLoggedAsync(7);
        Assert.Empty(await pair.Client.ReceiveToEndAsync());
    }

    [Theory, AllTransports]
    public async Task Dispose_WithUnsentDataAndSlowClient_WaitsUntilAllIsSent(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        Task<FlushResult> flush = pair.Output.WriteAsync(data).AsTask();
        byte[] first = await pair.Client.ReceiveExactlyAsync(1000);

        Task dispose = pair.Server.DisposeAsync().AsTask();

        byte[] second = await pair.Client.ReceiveExactlyAsync(1000);
        Assert.False(dispose.IsCompleted);
        byte[] received = [.. first, .. second, .. await pair.Client.ReceiveToEndAsync()];
        Net.AssertSame(data, received);
        await dispose.OrTimeout();
        await flush.OrTimeout();
        Assert.Equal([7], pair.Logs.Ids(kind));
    }

    [Theory, AllTransports]
    public async Task Dispose_Twice_ReturnsAndSendsOneFin(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        await pair.Server.DisposeAsync().OrTimeout();
        await pair.Server.DisposeAsync().OrTimeout();

        Assert.Empty(await pair.Client.ReceiveToEndAsync());
        Assert.Equal([7], pair.Logs.Ids(kind));
    }

    [Theory, AllTransports]
    public async Task Dispose_AfterReplacingTransport_ClosesConnection(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        var unrelated = new Pipe();
        pair.Server.Transport = new OwnDuplexPipe(unrelated.Reader, unrelated.Writer);

        await pair.Server.DisposeAsync().OrTimeout();

        Assert.Empty(await pair.Client.ReceiveToEndAsync());
        // The replacement is not the transport's to complete.
        Assert.False((await unrelated.Writer.WriteAsync(new byte[1]).OrTimeout()).IsCompleted);
    }

    [Theory, AllTransports]
    public async Task Dispose_WaitsForCallbacksOfConnectionClosed(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        using var release = new ManualResetEventSlim();
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        pair.Server.ConnectionClosed.Register(() =>
        {
            entered.SetResult();
            Assert.True(release.Wait(Timeouts.Limit));
        });

        Task dispose = Task.Run(async () => await pair.Server.DisposeAsync());
        await entered.Task.OrTimeout();
        Assert.False(dispose.IsCompleted);

        release.Set();
        await dispose.OrTimeout();
        Assert.DoesNotContain(0, pair.Logs.Ids(kind));
    }

    [Theory, AllTransports]
    public async Task ConnectionClosed_CallbackThrows_IsLoggedAndSwallowed(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        pair.Server.ConnectionClosed.Register(() => throw new InvalidTimeZoneException("from the callback"));

        pair.Client.Shutdown(SocketShutdown.Send);

        LogEntry entry = await pair.Logs.WaitForAsync(kind, 0);
        Assert.Equal(LogLevel.Error, entry.Level);
        Assert.Contains("CancelConnectionClosedToken", entry.Message, StringComparison.Ordinal);
        Assert.Contains("from the callback", entry.Exception?.ToString(), StringComparison.Ordinal);
        Assert.True((await pair.Input.ReadAsync().OrTimeout()).IsCompleted);
        await pair.Server.DisposeAsync().OrTimeout();
    }

    [Theory, AllTransports]
    public async Task ConnectionClosed_Fires_OnThreadPoolThread(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        var isPool = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        pair.Server.ConnectionClosed.Register(() => isPool.SetResult(Thread.CurrentThread.IsThreadPoolThread));

        pair.Client.Shutdown(SocketShutdown.Send);

        Assert.True(await isPool.Task.OrTimeout());
    }
}
