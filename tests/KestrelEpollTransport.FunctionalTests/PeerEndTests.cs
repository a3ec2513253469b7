using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Ends that the client brings about: FIN and RST, before, during and after an exchange.</summary>
public class PeerEndTests
{
    [Theory, AllTransports]
    public async Task ClientFin_ReadCompletesAndWritesStillArrive(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        pair.Client.Shutdown(SocketShutdown.Send);

        ReadResult result = await pair.Input.ReadAsync().OrTimeout();
        Assert.True(result.IsCompleted);
        Assert.True(result.Buffer.IsEmpty);
        pair.Input.AdvanceTo(result.Buffer.End);
        await pair.Closed.OrTimeout();

        Assert.False((await pair.Output.WriteTextAsync("one ")).IsCompleted);
        Assert.Equal("one ", await pair.Client.ReceiveTextAsync(4));
        Assert.False((await pair.Output.WriteTextAsync("two")).IsCompleted);
        await pair.Output.CompleteAsync().OrTimeout();
        Assert.Equal("two", await pair.Client.ReceiveTextToEndAsync());
        await pair.AssertServerLoggedAsync(6, 7);
    }

    [Theory, AllTransports]
    public async Task ClientFin_WithUnreadData_ClosesTokenFirstAndKeepsData(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("last words");

        pair.Client.Shutdown(SocketShutdown.Send);

        await pair.Closed.OrTimeout();
        Assert.Equal("last words"u8.ToArray(), await pair.Input.ReadToEndAsync());
        await pair.AssertServerLoggedAsync(6, 7);
    }

    [Theory, AllTransports]
    public async Task ClientFin_WithMuchDataInFlight_AllIsReadBeforeTheEnd(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        byte[] data = Net.Pattern(3_000_001);
        Task send = Task.Run(async () =>
        {
            await pair.Client.SendAllAsync(data);
            pair.Client.Shutdown(SocketShutdown.Send);
        });

        Net.AssertSame(data, await pair.Input.ReadToEndAsync());
        await send.OrTimeout();
        await pair.Closed.OrTimeout();
    }

    [Theory, AllTransports]
    public async Task ClientFin_WhileServerSends_AllStillArrives(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        Task<FlushResult> flush = pair.Output.WriteAsync(data).AsTask();
        byte[] first = await pair.Client.ReceiveExactlyAsync(1000);

        pair.Client.Shutdown(SocketShutdown.Send);

        await pair.Closed.OrTimeout();
        byte[] rest = await pair.Client.ReceiveExactlyAsync(data.Length - 1000);
        Net.AssertSame(data, [.. first, .. rest]);
        Assert.False((await flush.OrTimeout()).IsCompleted);
    }

    [Theory, AllTransports]
    public async Task ClientFin_DuringPendingRead_CompletesIt(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Task<ReadResult> read = pair.Input.ReadAsync().AsTask();
        Assert.False(read.IsCompleted);

        pair.Client.Shutdown(SocketShutdown.Send);

        Assert.True((await read.OrTimeout()).IsCompleted);
    }

    [Theory, AllTransports]
    public async Task ClientFin_ReadAgainAfterTheEnd_IsCompletedAgain(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        pair.Client.Shutdown(SocketShutdown.Send);

        for (int i = 0; i < 3; i++)
        {
            ReadResult result = await pair.Input.ReadAsync().OrTimeout();
            Assert.True(result.IsCompleted);
            pair.Input.AdvanceTo(result.Buffer.End);
        }
    }

    [Theory, AllTransports]
    public async Task ClientReset_Idle_ReadThrowsConnectionReset(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        pair.Client.Reset();

        ConnectionResetException error = await Assert.ThrowsAsync<ConnectionResetException>(() => pair.Input.ReadAsync().OrTimeout());
        Assert.Equal("Connection reset by peer", error.Message);
        Assert.Equal(SocketError.ConnectionReset, Assert.IsType<SocketException>(error.InnerException).SocketErrorCode);
        await pair.Closed.OrTimeout();
        Assert.Equal(19, (await pair.DisposeServerAsync())[0]);
    }

    [Theory, AllTransports]
    public async Task ClientReset_DuringPendingRead_FailsIt(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Task<ReadResult> read = pair.Input.ReadAsync().AsTask();

        pair.Client.Reset();

        await Assert.ThrowsAsync<ConnectionResetException>(() => read.OrTimeout());
        await pair.Closed.OrTimeout();
    }

    [Theory, AllTransports]
    public async Task ClientReset_ThenWrites_EndWithIsCompletedAndThrowNothing(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        pair.Client.Reset();
        await pair.Closed.OrTimeout();

        // On Sockets the first write still succeeds (a pipe takes it); how many do is not promised.
        FlushResult result = default;
        for (DateTime end = DateTime.UtcNow + Timeouts.Limit; !result.IsCompleted && DateTime.UtcNow < end;)
        {
            result = await pair.Output.WriteTextAsync("anyone there?");
        }

        Assert.True(result.IsCompleted);
        int[] ids = await pair.DisposeServerAsync();
        Assert.Equal(19, ids[0]);
        Assert.All(ids, id => Assert.Contains(id, new[] { 19, 8 }));
    }

    [Theory, AllTransports]
    public async Task ClientReset_DuringBlockedFlush_CompletesFlush(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        Task<FlushResult> flush = pair.Output.WriteAsync(new byte[Net.MoreThanTheKernelHolds]).AsTask();
        await pair.Client.ReceiveExactlyAsync(1000);
        Assert.False(flush.IsCompleted);

        pair.Client.Reset();

        Assert.True((await flush.OrTimeout()).IsCompleted);
        await pair.Closed.OrTimeout();
        if (kind.IsOurs())
        {
            // The send of Sockets sometimes takes the socket's error, and its receive then finds a clean end.
            await Assert.ThrowsAsync<ConnectionResetException>(() => pair.Input.ReadAsync().OrTimeout());
        }

        await pair.Server.DisposeAsync().OrTimeout();
    }

    [Theory, AllTransports]
    public async Task ClientReset_BetweenRequests_FailsTheNextReadOnly(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("request");
        Assert.Equal("request", await pair.Input.ReadTextAsync(7));
        await pair.Output.WriteTextAsync("response");
        Assert.Equal("response", await pair.Client.ReceiveTextAsync(8));

        pair.Client.Reset();

        await pair.Closed.OrTimeout();
        await Assert.ThrowsAsync<ConnectionResetException>(() => pair.Input.ReadAsync().OrTimeout());
    }

    [Theory, AllTransports]
    public async Task ClientReset_WhileApplicationHoldsARead_ClosesToken(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("request");
        ReadResult held = await pair.Input.ReadWithoutConsumingAsync(7);

        pair.Client.Reset();

        await pair.Closed.OrTimeout();
        // The buffer of an unfinished read stays the application's.
        Assert.Equal("request", held.Buffer.Text());
        pair.Input.AdvanceTo(held.Buffer.End);
        await Assert.ThrowsAsync<ConnectionResetException>(() => pair.Input.ReadAsync().OrTimeout());
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task HangUp_WhileApplicationNeverReads_ClosesToken(TransportKind kind, bool reset)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        End(pair.Client, reset);

        await pair.Closed.OrTimeout();
    }

    /// <remarks>A reset only: the FIN stands behind the unread data, and Sockets does not get to it either.</remarks>
    [Theory, EpollTransports("Sockets waits in the flush of its input pipe and does not see a hang-up while it is paused")]
    public async Task ClientReset_WhileReadingIsPaused_ClosesToken(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxReadBufferSize = 16 * 1024);
        await pair.Client.SendAllAsync(new byte[100_000]);
        ReadResult held = await pair.Input.ReadAsync().OrTimeout();
        pair.Input.AdvanceTo(held.Buffer.Start, held.Buffer.Start);

        pair.Client.Reset();

        await pair.Closed.OrTimeout();
    }

    [Theory, AllTransports]
    public async Task ClientFinOnUnixSocket_ReadCompletes(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewAbstractEndPoint());
        await pair.Client.SendAsync("bye");

        pair.Client.Shutdown(SocketShutdown.Send);

        Assert.Equal("bye"u8.ToArray(), await pair.Input.ReadToEndAsync());
        await pair.Closed.OrTimeout();
        await pair.Output.WriteTextAsync("you too");
        Assert.Equal("you too", await pair.Client.ReceiveTextAsync(7));
        await pair.AssertServerLoggedAsync(6, 7);
    }

    private static void End(Socket client, bool reset)
    {
        if (reset)
        {
            client.Reset();
        }
        else
        {
            client.Shutdown(SocketShutdown.Send);
        }
    }
}
