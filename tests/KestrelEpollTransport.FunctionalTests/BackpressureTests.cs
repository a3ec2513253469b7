using System.Buffers;
using System.IO.Pipelines;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The bounds on what is received and not read, and on what is written and not sent.</summary>
public class BackpressureTests
{
    private const int Pause = 4;
    private const int Resume = 5;

    [Theory, AllTransports]
    public async Task ReadBound_SmallAndMuchSent_LosesNothing(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxReadBufferSize = 16 * 1024);
        byte[] data = Net.Pattern(200_000);
        Task send = pair.Client.SendAllAsync(data);
        if (kind == TransportKind.Sockets)
        {
            await pair.Logs.WaitForAsync(kind, Pause);
        }

        Net.AssertSame(data, await pair.Input.ReadExactlyAsync(data.Length));

        await send.OrTimeout();
        int[] ids = await pair.DisposeServerAsync();
        // Every pause is ended, in turn: the data has all come.
        Assert.Equal(
            Enumerable.Repeat(new[] { Pause, Resume }, ids.Count(id => id == Resume)).SelectMany(x => x),
            ids.Where(id => id is Pause or Resume));
    }

    [Theory, AllTransports]
    public async Task ReadBound_ReachedAndLeft_LogsPauseAndResume(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxReadBufferSize = 1024);
        byte[] data = Net.Pattern(200_000);
        Task send = pair.Client.SendAllAsync(data);
        Task paused = pair.Logs.WaitForAsync(kind, Pause);

        // Reading without examining: what is held stays above the bound, and more stands in the kernel.
        while (!paused.IsCompleted)
        {
            ReadResult result = await pair.Input.ReadAsync().OrTimeout();
            pair.Input.AdvanceTo(result.Buffer.Start, result.Buffer.Start);
            await Task.Yield();
        }

        await paused;
        Assert.DoesNotContain(Resume, pair.Logs.Ids(kind));
        Net.AssertSame(data, await pair.Input.ReadExactlyAsync(data.Length));
        await send.OrTimeout();
        LogEntry resumed = await pair.Logs.WaitForAsync(kind, Resume);
        Assert.Equal($"Connection id \"{pair.Server.ConnectionId}\" resumed.", resumed.Message);
    }

    [Theory, AllTransports]
    public async Task ReadBound_ExceededByOneRead_LogsEachPauseBeforeItsEnd(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxReadBufferSize = 16 * 1024);
        byte[] data = Net.Pattern(3 * 1024 * 1024);
        Task send = pair.Client.SendAllAsync(data);

        ReadResult read = await pair.Input.ReadAtLeastAsync(data.Length).OrTimeout();
        Net.AssertSame(data, read.Buffer.ToArray());
        pair.Input.AdvanceTo(read.Buffer.End);

        await send.OrTimeout();
        int[] ids = await pair.DisposeServerAsync();
        int[] lines = [.. ids.Where(id => id is Pause or Resume)];
        Assert.Equal(Enumerable.Range(0, lines.Length).Select(i => i % 2 == 0 ? Pause : Resume), lines);
    }

    [Theory, AllTransports]
    public async Task ReadBound_ClientSendsEndlessly_ClientBlocks(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxReadBufferSize = 16 * 1024);
        byte[] data = Net.Pattern(80 * 1024 * 1024);

        // More than both kernel buffers take: sending can't end while nobody reads.
        Task send = pair.Client.SendAllAsync(data);
        ReadResult result = await pair.Input.ReadAsync().OrTimeout();
        pair.Input.AdvanceTo(result.Buffer.Start, result.Buffer.Start);
        Assert.False(send.IsCompleted);

        Net.AssertSame(data, await pair.Input.ReadExactlyAsync(data.Length));
        await send.OrTimeout();
    }

    [Theory, AllTransports]
    public async Task ReadBound_ExaminedAndNotConsumed_DoesNotStopReceiving(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxReadBufferSize = 16 * 1024);
        byte[] data = Net.Pattern(200_000);
        Task send = pair.Client.SendAllAsync(data);

        // A parser that needs all of it at once would otherwise wait for ever.
        ReadResult result = await pair.Input.ReadWithoutConsumingAsync(data.Length);

        Assert.Equal(data.Length, result.Buffer.Length);
        pair.Input.AdvanceTo(result.Buffer.End);
        await send.OrTimeout();
    }

    [Theory, AllTransports([null]), AllTransports(0L)]
    public async Task ReadBound_Unlimited_LosesNothing(TransportKind kind, long? limit)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxReadBufferSize = limit);
        byte[] data = Net.Pattern(4_000_000);
        Task send = pair.Client.SendAllAsync(data);

        ReadResult result = await pair.Input.ReadWithoutConsumingAsync(data.Length);
        Assert.Equal(data.Length, result.Buffer.Length);
        pair.Input.AdvanceTo(result.Buffer.End);

        await send.OrTimeout();
        Assert.DoesNotContain(Pause, await pair.DisposeServerAsync());
    }

    [Theory, AllTransports]
    public async Task WriteBound_BelowLimit_FlushesCompleteAtOnce(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        ValueTask<FlushResult> flush = pair.Output.WriteAsync(new byte[60_000]);

        Assert.True(flush.IsCompletedSuccessfully);
        Assert.False((await flush).IsCompleted);
        await pair.Client.ReceiveExactlyAsync(60_000);
    }

    [Theory, AllTransports]
    public async Task WriteBound_ClientDoesNotRead_FlushWaitsUntilItDoes(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);

        Task<FlushResult> flush = pair.Output.WriteAsync(data).AsTask();
        byte[] first = await pair.Client.ReceiveExactlyAsync(1000);
        Assert.False(flush.IsCompleted);

        byte[] rest = await pair.Client.ReceiveExactlyAsync(data.Length - 1000);
        FlushResult result = await flush.OrTimeout();
        Assert.False(result.IsCompleted);
        Assert.False(result.IsCanceled);
        Net.AssertSame(data, [.. first, .. rest]);
    }

    [Theory, AllTransports]
    public async Task WriteBound_Unlimited_FlushCompletesThoughClientDoesNotRead(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxWriteBufferSize = 0, slowClient: true);
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);

        await pair.Output.WriteAsync(data).OrTimeout();

        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
    }

    /// <remarks>More than a turn, and more than half of the bound stays unsent.</remarks>
    [Theory, AllTransports]
    public async Task WriteBound_NotReached_FlushCompletesThoughClientDoesNotRead(TransportKind kind)
    {
        byte[] data = Net.Pattern(3 * Net.MoreThanTheKernelHolds);
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxWriteBufferSize = data.Length + 1, slowClient: true);

        FlushResult result = await pair.Output.WriteAsync(data).OrTimeout();

        Assert.False(result.IsCompleted);
        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
    }

    /// <remarks>Some of them wait for the client, some only until others had a turn.</remarks>
    [Theory, AllTransports]
    public async Task Flushes_CancelledAgainAndAgain_LoseNothing(TransportKind kind)
    {
        const int Piece = 32 * 1024;
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        byte[] data = Net.Pattern(1000 * Piece);
        Task<byte[]> received = Task.Run(() => pair.Client.ReceiveExactlyAsync(data.Length));
        using var stop = new CancellationTokenSource();
        Task cancels = Task.Run(() =>
        {
            for (int i = 1; !stop.IsCancellationRequested; i++)
            {
                pair.Output.CancelPendingFlush();
                Thread.SpinWait(2000);
                Thread.Sleep(i % 16 == 0 ? 1 : 0);
            }
        });

        int cancelled = 0;
        for (int i = 0; i < data.Length; i += Piece)
        {
            FlushResult result = await pair.Output.WriteAsync(data.AsMemory(i, Piece)).OrTimeout();
            cancelled += result.IsCanceled ? 1 : 0;
        }

        Net.AssertSame(data, await received.OrTimeout());
        await stop.CancelAsync();
        await cancels.OrTimeout();
        Assert.InRange(cancelled, 1, (data.Length / Piece) - 1);
    }

    [Theory, AllTransports]
    public async Task BothDirections_FloodedAtOnce_LoseNothing(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        byte[] data = Net.Pattern(20_000_000);

        Task clientSends = Task.Run(() => pair.Client.SendAllAsync(data));
        Task<byte[]> clientReceives = Task.Run(() => pair.Client.ReceiveExactlyAsync(data.Length));
        Task serverSends = Task.Run(async () => await pair.Output.WriteAsync(data));
        byte[] serverReceived = await pair.Input.ReadExactlyAsync(data.Length);

        Net.AssertSame(data, serverReceived);
        Net.AssertSame(data, await clientReceives.OrTimeout());
        await clientSends.OrTimeout();
        await serverSends.OrTimeout();
    }
}
