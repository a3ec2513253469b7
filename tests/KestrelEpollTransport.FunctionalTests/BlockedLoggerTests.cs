using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

// To poll is a part of what this class is about.
#pragma warning disable CA2012

/// <summary>
/// A logger that blocks in a line of a connection's end, as one does that writes to a full disk: what others wait for comes before the
/// line. Who waits is the thread that writes it with what runs on it, and a disposal for the line of our own end.
/// </summary>
public class BlockedLoggerTests
{
    private const int Pause = 4;
    private const int ReadFin = 6;
    private const int WriteFin = 7;
    private const int WriteRst = 8;
    private const int ConnectionReset = 19;

    /// <summary>Longer than a thread of UnsafeInline may sleep before it is taken for one that waits for its own read or flush.</summary>
    private const int SlowMs = 500;
    private const string LogsFirstThere = "Sockets writes the line first";

    [Theory]
    [EpollTransports(LogsFirstThere, Wire.Tcp, ReadFin), EpollTransports(LogsFirstThere, Wire.Unix, ReadFin)]
    [EpollTransports(LogsFirstThere, Wire.Tcp, ConnectionReset), EpollTransports(LogsFirstThere, Wire.Unix, ConnectionReset)]
    [EpollTransports(LogsFirstThere, Wire.Tcp, WriteFin), EpollTransports(LogsFirstThere, Wire.Unix, WriteFin)]
    [EpollTransports(LogsFirstThere, Wire.Tcp, WriteRst), EpollTransports(LogsFirstThere, Wire.Unix, WriteRst)]
    public async Task ConnectionClosed_LineOfTheEndBlocks_Fires(TransportKind kind, Wire wire, int line)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        // On a unix socket what the client has not read makes its close a reset.
        await pair.Output.WriteTextAsync("unread");
        using var held = new HeldLine(pair.Logs, line);

        Task ending = End(pair, line);

        await held.Reached.OrTimeout();
        await pair.Closed.OrTimeout();
        held.Dispose();
        await ending.OrTimeout();
    }

    /// <remarks>Not awaited: what continues with a read would run on the thread that blocks.</remarks>
    [Theory]
    [EpollTransports(LogsFirstThere, Wire.Tcp, ReadFin), EpollTransports(LogsFirstThere, Wire.Unix, ReadFin)]
    [EpollTransports(LogsFirstThere, Wire.Tcp, ConnectionReset)]
    public async Task PolledRead_LineOfTheClientsEndBlocks_IsCompleted(TransportKind kind, Wire wire, int line)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        using var held = new HeldLine(pair.Logs, line);
        ValueTask<ReadResult> read = pair.Input.ReadAsync();
        Assert.False(read.IsCompleted);

        Task ending = End(pair, line);

        await held.Reached.OrTimeout();
        await WaitUntilAsync(() => read.IsCompleted);
        Assert.Equal(line == ReadFin, read.IsCompletedSuccessfully);
        await ending.OrTimeout();
    }

    [Theory, EpollTransports(LogsFirstThere, Wire.Tcp), EpollTransports(LogsFirstThere, Wire.Unix)]
    public async Task PolledFlush_LineOfTheClientsResetBlocks_IsCompleted(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        using var held = new HeldLine(pair.Logs, ConnectionReset);
        ValueTask<FlushResult> flush = pair.Output.WriteAsync(new byte[Net.MoreThanTheKernelHolds]);
        Assert.False(flush.IsCompleted);

        pair.Client.Reset();

        await held.Reached.OrTimeout();
        // What is queued may be another thread's to send, and so to find out.
        await WaitUntilAsync(() => flush.IsCompleted);
        Assert.True((await flush).IsCompleted);
    }

    /// <remarks>Not under UnsafeInline, where what continues with a flush runs on the loop's thread: that is the one that blocks.</remarks>
    [Theory]
    [InlineData(TransportKind.EpollThreadPool, Wire.Tcp), InlineData(TransportKind.EpollThreadPool, Wire.Unix)]
    [InlineData(TransportKind.EpollAdaptive, Wire.Tcp), InlineData(TransportKind.EpollAdaptive, Wire.Unix)]
    public async Task AwaitedFlush_LineOfTheClientsResetBlocks_GoesOn(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        using var held = new HeldLine(pair.Logs, ConnectionReset);
        Task<FlushResult> flush = pair.Output.WriteAsync(new byte[Net.MoreThanTheKernelHolds]).AsTask();

        pair.Client.Reset();

        await held.Reached.OrTimeout();
        Assert.True((await flush.OrTimeout()).IsCompleted);
    }

    /// <remarks>Not under UnsafeInline, where it runs on the loop's thread.</remarks>
    [Theory]
    [InlineData(TransportKind.EpollThreadPool, Wire.Tcp), InlineData(TransportKind.EpollThreadPool, Wire.Unix)]
    [InlineData(TransportKind.EpollAdaptive, Wire.Tcp), InlineData(TransportKind.EpollAdaptive, Wire.Unix)]
    public async Task AwaitedRead_LineOfAnAbortBlocks_Fails(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        using var held = new HeldLine(pair.Logs, WriteRst);
        Task<ReadResult> read = pair.Input.ReadAsync().AsTask();

        Task ending = End(pair, WriteRst);

        await held.Reached.OrTimeout();
        await Assert.ThrowsAsync<ConnectionAbortedException>(() => read.OrTimeout());
        held.Dispose();
        await ending.OrTimeout();
    }

    [Theory, EpollTransports(LogsFirstThere, Wire.Tcp), EpollTransports(LogsFirstThere, Wire.Unix)]
    public async Task PolledFlush_LineOfAnAbortBlocks_IsCompleted(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        using var held = new HeldLine(pair.Logs, WriteRst);
        ValueTask<FlushResult> flush = pair.Output.WriteAsync(new byte[Net.MoreThanTheKernelHolds]);
        Assert.False(flush.IsCompleted);

        Task ending = End(pair, WriteRst);

        await held.Reached.OrTimeout();
        await WaitUntilAsync(() => flush.IsCompleted);
        Assert.True((await flush).IsCompleted);
        held.Dispose();
        await ending.OrTimeout();
    }

    [Theory]
    [InlineData(TransportKind.EpollThreadPool, Wire.Tcp), InlineData(TransportKind.EpollThreadPool, Wire.Unix)]
    [InlineData(TransportKind.EpollAdaptive, Wire.Tcp), InlineData(TransportKind.EpollAdaptive, Wire.Unix)]
    [InlineData(TransportKind.EpollInline, Wire.Tcp), InlineData(TransportKind.EpollInline, Wire.Unix)]
    public async Task AwaitedFlush_LineOfTheClientsFinIsSlow_GoesOn(TransportKind kind, Wire wire) =>
        await AssertFlushOutlivesSlowLineAsync(kind, wire);

    [Theory, EpollTransports(LogsFirstThere, Wire.Tcp), EpollTransports(LogsFirstThere, Wire.Unix)]
    public async Task Dispose_LineOfOurFinBlocks_WaitsForIt(TransportKind kind, Wire wire) =>
        await AssertDisposalWaitsForLineAsync(kind, wire, WriteFin);

    [Theory, EpollTransports(LogsFirstThere, Wire.Tcp), EpollTransports(LogsFirstThere, Wire.Unix)]
    public async Task Dispose_LineOfOurResetBlocks_WaitsForIt(TransportKind kind, Wire wire) =>
        await AssertDisposalWaitsForLineAsync(kind, wire, WriteRst);

    [Theory]
    [EpollTransports(LogsFirstThere, Wire.Tcp, ReadFin), EpollTransports(LogsFirstThere, Wire.Unix, ReadFin)]
    [EpollTransports(LogsFirstThere, Wire.Tcp, ConnectionReset)]
    public async Task Dispose_LineOfTheClientsEndBlocks_Completes(TransportKind kind, Wire wire, int line)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        using var held = new HeldLine(pair.Logs, line);
        Task ending = End(pair, line);
        await held.Reached.OrTimeout();

        await Task.Run(async () => await pair.Server.DisposeAsync()).OrTimeout();

        await ending.OrTimeout();
    }

    [Theory, EpollTransports(LogsFirstThere, Wire.Tcp), EpollTransports(LogsFirstThere, Wire.Unix)]
    public async Task Dispose_LineOfASendThatFailedBlocks_Completes(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        await pair.Output.WriteTextAsync("unread");
        pair.Client.Reset();
        await pair.Logs.WaitForAsync(kind, ConnectionReset);

        // Its own result is not looked at: a flush within 50 µs of the one before marks, and a drain sends.
        await AssertDisposalGoesOnAsync(pair, () => Task.Run(async () => await pair.Output.WriteAsync("anyone there?"u8.ToArray())));
    }

    /// <remarks>A flush in the connection's own dispatch only marks, and knows nothing of the send at the end of that.</remarks>
    [Theory, EpollTransports(LogsFirstThere, Wire.Tcp), EpollTransports(LogsFirstThere, Wire.Unix)]
    public async Task Dispose_LineOfAMarkedSendThatFailedBlocks_Completes(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        await pair.Output.WriteTextAsync("unread");

        FlushResult marked = await AssertDisposalGoesOnAsync(pair, () =>
        {
            Task<FlushResult> write = WriteBehindTheEndAsync();
            pair.Client.Reset();
            return write;
        });

        Assert.False(marked.IsCompleted);

        async Task<FlushResult> WriteBehindTheEndAsync()
        {
            try
            {
                await pair.Input.ReadAsync();
            }
            catch (ConnectionResetException)
            {
                return await pair.Output.WriteAsync("anyone there?"u8.ToArray());
            }

            throw new InvalidOperationException("The client's reset was not read.");
        }
    }

    [Theory, EpollTransports(LogsFirstThere, Wire.Tcp), EpollTransports(LogsFirstThere, Wire.Unix)]
    public async Task TryRead_LineOfAPauseBlocks_Reads(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        using var held = new HeldLine(pair.Logs, Pause);
        byte[] data = Net.Pattern(64 * 1024);
        await pair.Client.SendAllAsync(data);
        await held.Reached.OrTimeout();

        ReadResult result = await Task.Run(() => pair.Input.TryRead(out ReadResult read) ? read : default).OrTimeout();

        Assert.InRange(result.Buffer.Length, 1, data.Length);
        pair.Input.AdvanceTo(result.Buffer.Start);
        held.Dispose();
        Net.AssertSame(data, await pair.Input.ReadExactlyAsync(data.Length));
    }

    /// <remarks>Of the same loop and with the same logger, which blocks on another thread than the loop's.</remarks>
    [Theory, EpollTransports(LogsFirstThere, Wire.Tcp), EpollTransports(LogsFirstThere, Wire.Unix)]
    public async Task OtherConnection_LineOfACompletionBlocks_EndsAsAlways(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        await using ConnectionPair other = await pair.CreateAnotherAsync();
        using var held = new HeldLine(pair.Logs, WriteFin);
        Task ending = End(pair, WriteFin);
        await held.Reached.OrTimeout();

        await other.Client.SendAsync("last words");
        other.Client.Shutdown(SocketShutdown.Send);

        Assert.Equal("last words"u8.ToArray(), await other.Input.ReadToEndAsync());
        await other.Closed.OrTimeout();
        await other.Server.DisposeAsync().OrTimeout();
        Assert.Empty(await other.Client.ReceiveToEndAsync());
        held.Dispose();
        await ending.OrTimeout();
    }

    private static Task<ConnectionPair> CreateAsync(TransportKind kind, Wire wire) => ConnectionPair.CreateAsync(
        kind,
        settings =>
        {
            settings.LoopCount = 1;
            settings.MaxReadBufferSize = 16 * 1024;
        },
        Net.NewEndPoint(wire == Wire.Unix),
        slowClient: true);

    private static async Task AssertFlushOutlivesSlowLineAsync(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        using var held = new HeldLine(pair.Logs, ReadFin);
        Task<FlushResult> flush = pair.Output.WriteAsync(new byte[Net.MoreThanTheKernelHolds]).AsTask();
        pair.Client.Shutdown(SocketShutdown.Send);
        await held.Reached.OrTimeout();

        await Task.WhenAny(flush, Task.Delay(SlowMs));

        held.Dispose();
        await pair.Client.ReceiveExactlyAsync(Net.MoreThanTheKernelHolds);
        Assert.False((await flush.OrTimeout()).IsCompleted);
    }

    private static async Task AssertDisposalWaitsForLineAsync(TransportKind kind, Wire wire, int line)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        await using ConnectionPair other = await pair.CreateAnotherAsync();
        using var held = new HeldLine(pair.Logs, line);
        Task ending = End(pair, line);
        await held.Reached.OrTimeout();

        Task dispose = Task.CompletedTask;
        await Task.Run(() => { dispose = pair.Server.DisposeAsync().AsTask(); }).OrTimeout();

        await pair.Closed.OrTimeout();
        // The whole end of another connection comes behind all that the disposal may wait for, but for the line.
        await other.Server.DisposeAsync().OrTimeout();
        Assert.False(dispose.IsCompleted);
        held.Dispose();
        await dispose.OrTimeout();
        Assert.Equal([WriteFin, line], pair.Logs.Ids(kind));
        await ending.OrTimeout();
    }

    /// <summary>The send of a write fails, and the line of it blocks. Returns the write's result.</summary>
    private static async Task<FlushResult> AssertDisposalGoesOnAsync(ConnectionPair pair, Func<Task<FlushResult>> begin)
    {
        using var held = new HeldLine(pair.Logs, WriteRst);
        Task<FlushResult> write = begin();
        await held.Reached.OrTimeout();

        await Task.Run(async () => await pair.Server.DisposeAsync()).OrTimeout();

        held.Dispose();
        Assert.True((await pair.Output.FlushAsync().OrTimeout()).IsCompleted);
        return await write.OrTimeout();
    }

    private static async Task WaitUntilAsync(Func<bool> condition)
    {
        for (DateTime limit = DateTime.UtcNow + Timeouts.Limit; !condition();)
        {
            Assert.True(DateTime.UtcNow < limit, "It did not complete.");
            await Task.Delay(1);
        }
    }

    /// <summary>Ends the connection so that <paramref name="line"/> is written. Ours is written on the thread that ends it, which is to be no one else's.</summary>
    private static Task End(ConnectionPair pair, int line) => Task.Run(() =>
    {
        switch (line)
        {
            case ReadFin:
                pair.Client.Shutdown(SocketShutdown.Send);
                break;
            case ConnectionReset:
                pair.Client.Reset();
                break;
            case WriteFin:
                pair.Output.Complete();
                break;
            default:
                pair.Server.Abort(new ConnectionAbortedException("on purpose"));
                break;
        }
    });

    /// <summary>The first line of an id is not written until this is disposed of.</summary>
    private sealed class HeldLine : IDisposable
    {
        private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public HeldLine(LogRecorder logs, int id) => logs.OnEntry = entry =>
        {
            if (entry.Id == id && _reached.TrySetResult())
            {
                _released.Task.Wait();
            }
        };

        public Task Reached => _reached.Task;

        public void Dispose() => _released.TrySetResult();
    }
}
