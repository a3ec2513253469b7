using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Ends that the server's side brings about: abort, completion, disposal.</summary>
public class ShutdownTests
{
    private const string GracefulReason = "send loop completed gracefully.";

    /// <summary>More than the kernel takes for a client that does not read and whose receive buffer is fixed.</summary>
    private const int MoreThanTheKernelHolds = 16 * 1024 * 1024;

    [Theory, AllTransports]
    public async Task Abort_WithReason_FailsReadWithItAndResetsClient(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        var reason = new ConnectionAbortedException("the test wants it");

        pair.Server.Abort(reason);

        Assert.Same(reason, await Assert.ThrowsAsync<ConnectionAbortedException>(() => pair.Input.ReadAsync().OrTimeout()));
        await pair.Closed.OrTimeout();
        Assert.True((await pair.Output.WriteTextAsync("too late")).IsCompleted);
        await pair.Client.AssertResetAsync();
        await pair.AssertServerLoggedAsync(8);
        Assert.Contains("because: \"the test wants it\"", pair.Logs.Of(kind)[0].Message, StringComparison.Ordinal);
        Assert.Equal(LogLevel.Debug, pair.Logs.Of(kind)[0].Level);
    }

    [Theory, AllTransports]
    public async Task Abort_DuringPendingRead_FailsThatRead(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        var reason = new ConnectionAbortedException("the test wants it");
        Task<ReadResult> read = pair.Input.ReadAsync().AsTask();
        Assert.False(read.IsCompleted);

        pair.Server.Abort(reason);

        Assert.Same(reason, await Assert.ThrowsAsync<ConnectionAbortedException>(() => read.OrTimeout()));
        await pair.Closed.OrTimeout();
    }

    [Theory, AllTransports]
    public async Task Abort_Null_SendsFin(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        pair.Server.Abort(null!);

        await AssertReadFailsGracefullyAsync(pair);
        await pair.Closed.OrTimeout();
        Assert.Empty(await pair.Client.ReceiveToEndAsync());
        await pair.AssertServerLoggedAsync(7);
        Assert.EndsWith($"{GracefulReason}\"", pair.Logs.Of(kind)[0].Message, StringComparison.Ordinal);
    }

    [Theory, AllTransports]
    public async Task Abort_NullWithUnsentData_EndsFlushAndDropsWhatTheKernelDidNotTake(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        byte[] data = Net.Pattern(MoreThanTheKernelHolds);
        Task<FlushResult> flush = pair.Output.WriteAsync(data).AsTask();
        byte[] first = await pair.Client.ReceiveExactlyAsync(1000);
        Assert.False(flush.IsCompleted);

        pair.Server.Abort(null!);

        await flush.OrTimeout();
        byte[] received = [.. first, .. await pair.Client.ReceiveToEndAsync()];
        Assert.InRange(received.Length, 1000, data.Length - 1);
        Assert.True(data.AsSpan(0, received.Length).SequenceEqual(received));
        await pair.AssertServerLoggedAsync(7);
    }

    [Theory, AllTransports]
    public async Task Abort_DuringBlockedFlush_CompletesFlushAndResetsClient(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        Task<FlushResult> flush = pair.Output.WriteAsync(new byte[MoreThanTheKernelHolds]).AsTask();
        await pair.Client.ReceiveExactlyAsync(1000);
        Assert.False(flush.IsCompleted);

        pair.Server.Abort(new ConnectionAbortedException("enough"));

        Assert.True((await flush.OrTimeout()).IsCompleted);
        await pair.Client.AssertResetAsync();
        await pair.Closed.OrTimeout();
        await pair.AssertServerLoggedAsync(8);
    }

    [Theory, AllTransports]
    public async Task Abort_Twice_KeepsTheFirstReason(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        var first = new ConnectionAbortedException("first");

        pair.Server.Abort(first);
        pair.Server.Abort(new ConnectionAbortedException("second"));
        pair.Server.Abort(null!);

        Assert.Same(first, await Assert.ThrowsAsync<ConnectionAbortedException>(() => pair.Input.ReadAsync().OrTimeout()));
        await pair.Client.AssertResetAsync();
        await pair.AssertServerLoggedAsync(8);
    }

    [Theory, AllTransports]
    public async Task Abort_NullThenReason_StaysGraceful(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        pair.Server.Abort(null!);
        pair.Server.Abort(new ConnectionAbortedException("second"));

        await AssertReadFailsGracefullyAsync(pair);
        Assert.Empty(await pair.Client.ReceiveToEndAsync());
        await pair.AssertServerLoggedAsync(7);
    }

    [Theory, AllTransports]
    public async Task Abort_AfterClientReset_DoesNothingMore(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        pair.Client.Reset();
        await Assert.ThrowsAsync<ConnectionResetException>(() => pair.Input.ReadAsync().OrTimeout());

        pair.Server.Abort(new ConnectionAbortedException("late"));
        pair.Server.Abort(null!);

        await pair.Closed.OrTimeout();
        Assert.All(await pair.DisposeServerAsync(), id => Assert.Contains(id, new[] { 19, 8 }));
    }

    [Theory, AllTransports]
    public async Task Abort_AfterClientHalfClosed_ResetsClient(TransportKind kind)
    {
        // CLOSE_WAIT: the peer's FIN has arrived, ours is not sent.
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        pair.Client.Shutdown(SocketShutdown.Send);
        await pair.Closed.OrTimeout();

        pair.Server.Abort(new ConnectionAbortedException("half closed"));

        await pair.Client.AssertResetAsync();
        await pair.AssertServerLoggedAsync(6, 8);
    }

    [Theory, AllTransports]
    public async Task Abort_AfterOutputCompleted_ThrowsNothingAndKeepsTheFin(TransportKind kind)
    {
        // FIN_WAIT: our FIN is sent.
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Output.CompleteAsync();
        Assert.Empty(await pair.Client.ReceiveToEndAsync());

        pair.Server.Abort(new ConnectionAbortedException("after FIN"));

        await AssertReadFailsGracefullyAsync(pair);
        await pair.AssertServerLoggedAsync(7);
    }

    [Theory, AllTransports]
    public async Task Abort_AfterBothSidesEnded_ThrowsNothing(TransportKind kind)
    {
        // LAST_ACK and beyond.
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        pair.Client.Shutdown(SocketShutdown.Send);
        await pair.Closed.OrTimeout();
        await pair.Output.CompleteAsync();
        Assert.Empty(await pair.Client.ReceiveToEndAsync());

        pair.Server.Abort(new ConnectionAbortedException("after everything"));

        await pair.AssertServerLoggedAsync(6, 7);
    }

    [Theory, AllTransports]
    public async Task Abort_OnUnixSocket_EndsTheClientsStream(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewAbstractEndPoint());

        pair.Server.Abort(new ConnectionAbortedException("no RST here"));

        Assert.Empty(await pair.Client.ReceiveToEndAsync());
        await pair.AssertServerLoggedAsync(8);
    }

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
        Assert.EndsWith(GracefulReason, error.Message, StringComparison.Ordinal);
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
    public async Task Dispose_WithUnsentDataAndSlowClient_WaitsUntilAllIsSent(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        byte[] data = Net.Pattern(MoreThanTheKernelHolds);
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

    private static async Task AssertReadFailsGracefullyAsync(ConnectionPair pair)
    {
        ConnectionAbortedException error = await Assert.ThrowsAsync<ConnectionAbortedException>(() => pair.Input.ReadAsync().OrTimeout());
        Assert.EndsWith(GracefulReason, error.Message, StringComparison.Ordinal);
    }
}
