using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Abort by the server's side, with and without a reason, in every state of the connection.</summary>
public class AbortTests
{
    [Theory, AllTransports]
    public async Task Abort_WithReason_FailsReadWithItAndResetsClient(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        var reason = new ConnectionAbortedException("the test wants it");

        pair.Server.Abort(reason);

        Assert.Same(reason, await Assert.ThrowsAsync<ConnectionAbortedException>(() => pair.Input.ReadAsync().OrTimeout()));
        await pair.Closed.OrTimeout();

        // On Sockets the two directions end one after the other, and a write in between is taken by a pipe.
        bool isCompleted = (await pair.Output.WriteTextAsync("too late")).IsCompleted;
        Assert.True(isCompleted || kind == TransportKind.Sockets);
        for (DateTime end = DateTime.UtcNow + Timeouts.Limit; !isCompleted && DateTime.UtcNow < end;)
        {
            isCompleted = (await pair.Output.WriteTextAsync("too late")).IsCompleted;
        }

        Assert.True(isCompleted);
        await pair.Client.AssertResetAsync();
        await pair.AssertServerLoggedAsync(8);
        Assert.Contains("because: \"the test wants it\"", pair.Logs.Of(kind)[0].Message, StringComparison.Ordinal);
        Assert.Equal(LogLevel.Debug, pair.Logs.Of(kind)[0].Level);
    }

    [Theory, EpollTransports("It logs the message before it ends the connection, and so never does.")]
    public async Task Abort_WithAReasonWhoseMessageThrows_StillEndsTheConnection(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        _ = Record.Exception(() => pair.Server.Abort(new SilentException()));

        await pair.Closed.OrTimeout();
        await pair.Server.DisposeAsync().AsTask().OrTimeout();
        await pair.Client.AssertResetAsync();
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

        await pair.AssertReadFailsGracefullyAsync();
        await pair.Closed.OrTimeout();
        Assert.Empty(await pair.Client.ReceiveToEndAsync());
        await pair.AssertServerLoggedAsync(7);
        Assert.EndsWith($"{ConnectionPair.GracefulReason}\"", pair.Logs.Of(kind)[0].Message, StringComparison.Ordinal);
    }

    [Theory, AllTransports]
    public async Task Abort_NullWithUnsentData_EndsFlushAndDropsWhatTheKernelDidNotTake(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        Task<FlushResult> flush = pair.Output.WriteAsync(data).AsTask();
        byte[] first = await pair.Client.ReceiveExactlyAsync(1000);
        Assert.False(flush.IsCompleted);

        pair.Server.Abort(null!);

        await flush.OrTimeout();
        byte[] received = [.. first, .. await pair.Client.ReceiveToEndAsync()];
        Assert.InRange(received.Length, 1000, data.Length - 1);
        Assert.True(data.AsSpan(0, received.Length).SequenceEqual(received));
        // The send that Sockets has under way may still fail with EPIPE, and it logs that as a reset. From 30 on is ours: copying
        // so much may have cost a loop its thread.
        int[] ids = await pair.DisposeServerAsync();
        Assert.Equal([7], ids.Where(id => id < 30 && !(id == 19 && kind == TransportKind.Sockets)));
    }

    [Theory, AllTransports]
    public async Task Abort_DuringBlockedFlush_CompletesFlushAndResetsClient(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        Task<FlushResult> flush = pair.Output.WriteAsync(new byte[Net.MoreThanTheKernelHolds]).AsTask();
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

        await pair.AssertReadFailsGracefullyAsync();
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

        await pair.AssertReadFailsGracefullyAsync();
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

    private sealed class SilentException() : ConnectionAbortedException("unseen")
    {
        public override string Message => throw new NotSupportedException("has no words");
    }
}
