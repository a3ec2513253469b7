using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;

namespace KestrelEpollTransport.FunctionalTests;

// To drop, to poll and to await twice is what this class is about.
#pragma warning disable CA2012

/// <summary>Calls whose result is dropped, polled or awaited late, and calls in an order that is not the usual one: as a pipe takes them.</summary>
public class UnawaitedCallsTests
{
    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Read_DroppedAndCancelled_NextReadIsCancelledOnceAndReadingGoesOn(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));

        _ = pair.Input.ReadAsync();
        pair.Input.CancelPendingRead();
        ValueTask<ReadResult> second = pair.Input.ReadAsync();

        Assert.True(second.IsCompleted);
        ReadResult result = await second;
        Assert.True(result.IsCanceled);
        Assert.False(result.IsCompleted);
        pair.Input.AdvanceTo(result.Buffer.End);

        ValueTask<ReadResult> third = pair.Input.ReadAsync();
        Assert.False(third.IsCompleted);
        await pair.Client.SendAsync("on");
        await AssertReadAsync(pair, third, "on");
        await pair.Client.SendAsync("and on");
        Assert.Equal("and on", await pair.Input.ReadTextAsync(6));
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Read_DroppedAndCancelledAsDataComes_LosesNothing(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));

        _ = pair.Input.ReadAsync();
        await pair.Client.SendAsync("kept");
        pair.Input.CancelPendingRead();

        ReadResult result = await ReadAsync(pair.Input);
        Assert.True(result.IsCanceled);
        pair.Input.AdvanceTo(result.Buffer.Start);
        Assert.Equal("kept", await pair.Input.ReadTextAsync(4));
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Read_Polled_IsSeenToComplete(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));

        for (int i = 0; i < 3; i++)
        {
            ValueTask<ReadResult> read = pair.Input.ReadAsync();
            Assert.False(read.IsCompleted);
            await pair.Client.SendAsync("seen");
            await WaitUntilAsync(() => read.IsCompleted);

            // Once complete, it stays so.
            Assert.True(read.IsCompletedSuccessfully);
            await AssertReadAsync(pair, read, "seen");
        }
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Read_PolledAndThenTakenAsTask_Completes(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        ValueTask<ReadResult> read = pair.Input.ReadAsync();
        Assert.False(read.IsCompleted);
        Task<ReadResult> task = read.AsTask();
        Assert.False(task.IsCompleted);

        await pair.Client.SendAsync("task");

        ReadResult result = await task.OrTimeout();
        Assert.Equal("task", (await task).Buffer.Text());
        pair.Input.AdvanceTo(result.Buffer.End);
    }

    [Theory, AllTransports]
    public async Task Read_Polled_ClientsEndIsSeen(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        ValueTask<ReadResult> read = pair.Input.ReadAsync();
        Assert.False(read.IsCompleted);

        pair.Client.Shutdown(SocketShutdown.Send);

        await WaitUntilAsync(() => read.IsCompleted);
        Assert.True((await read).IsCompleted);
    }

    [Theory, AllTransports]
    public async Task Read_AwaitedTwice_IsRefusedAndTheResultStaysGood(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        ValueTask<ReadResult> read = pair.Input.ReadAsync();
        await pair.Client.SendAsync("once");
        await WaitUntilAsync(() => read.IsCompleted);
        ReadResult result = await read;

        await Assert.ThrowsAsync<InvalidOperationException>(async () => await read);

        Assert.Equal("once", result.Buffer.Text());
        pair.Input.AdvanceTo(result.Buffer.End);
        await pair.Client.SendAsync("more");
        Assert.Equal("more", await pair.Input.ReadTextAsync(4));
    }

    [Theory, AllTransports]
    public async Task Read_BeforeTheLastWasAdvanced_IsRefusedAndTheResultStaysGood(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("held");
        ReadResult result = await pair.Input.ReadWithoutConsumingAsync(4);

        await Assert.ThrowsAsync<InvalidOperationException>(async () => await pair.Input.ReadAsync());
        Assert.Throws<InvalidOperationException>(() => pair.Input.TryRead(out _));

        Assert.Equal("held", result.Buffer.Text());
        pair.Input.AdvanceTo(result.Buffer.End);
        await pair.Client.SendAsync("more");
        Assert.Equal("more", await pair.Input.ReadTextAsync(4));
    }

    [Theory, AllTransports]
    public async Task AdvanceTo_DefaultAfterATryReadThatFoundNothing_IsAllowed(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        Assert.False(pair.Input.TryRead(out _));
        pair.Input.AdvanceTo(default);

        await pair.Client.SendAsync("on");
        Assert.Equal("on", await pair.Input.ReadTextAsync(2));
    }

    [Theory, AllTransports]
    public async Task AdvanceTo_RightAfterAWrongOne_Works(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("abcdef");
        ReadResult result = await pair.Input.ReadWithoutConsumingAsync(6);
        Assert.Throws<InvalidOperationException>(() => pair.Input.AdvanceTo(result.Buffer.End, result.Buffer.Start));

        pair.Input.AdvanceTo(result.Buffer.GetPosition(2));

        Assert.Equal("cdef", await pair.Input.ReadTextAsync(4));
    }

    /// <remarks>One that waits for the client, and one that would give way.</remarks>
    [Theory, AllTransports(Net.MoreThanTheKernelHolds), AllTransports(300 * 1024)]
    public async Task Flush_DroppedAndCancelled_NextFlushIsCancelledOnce(TransportKind kind, int bytes)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        byte[] data = new byte[bytes];
        _ = pair.Output.WriteAsync(data);

        pair.Output.CancelPendingFlush();

        // On Sockets the data itself makes the next one wait as well.
        Task<FlushResult> second = pair.Output.FlushAsync().AsTask();
        Assert.True((await second.OrTimeout()).IsCanceled);
        Task<FlushResult> third = pair.Output.FlushAsync().AsTask();
        await pair.Client.ReceiveExactlyAsync(data.Length);
        Assert.False((await third.OrTimeout()).IsCanceled);
    }

    /// <remarks>Of the first, which may give way, another thread takes the result while the second one begins.</remarks>
    [Theory, InlineData(TransportKind.EpollAdaptive), InlineData(TransportKind.EpollThreadPool)]
    public async Task Flush_AsATaskWhileAnotherBegins_BothComplete(TransportKind kind)
    {
        const int Rounds = 2000, Piece = 64 * 1024;
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Task<byte[]> received = Task.Run(() => pair.Client.ReceiveExactlyAsync(2 * Rounds * Piece));
        for (int i = 0; i < Rounds; i++)
        {
            pair.Output.Write(new byte[Piece]);
            Task<FlushResult> first = pair.Output.FlushAsync().AsTask();
            Thread.SpinWait(i % 500);
            pair.Output.Write(new byte[Piece]);
            ValueTask<FlushResult> second = pair.Output.FlushAsync();
            await first.OrTimeout();
            await second;
        }

        await received.OrTimeout();
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Flush_WhileOneIsPendingAndNotAwaited_BothComplete(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix), slowClient: true);
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        ValueTask<FlushResult> first = pair.Output.WriteAsync(data);
        Assert.False(first.IsCompleted);

        ValueTask<FlushResult> second = pair.Output.FlushAsync();
        Assert.False(second.IsCompleted);

        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
        await WaitUntilAsync(() => first.IsCompleted && second.IsCompleted);
        Assert.False((await first).IsCompleted);
        Assert.False((await second).IsCompleted);
        await pair.Output.WriteTextAsync("and on");
        Assert.Equal("and on", await pair.Client.ReceiveTextAsync(6));
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Write_WhileAFlushIsPendingAndNotAwaited_ArrivesBehindIt(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix), slowClient: true);
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        ValueTask<FlushResult> first = pair.Output.WriteAsync(data);
        Assert.False(first.IsCompleted);

        ValueTask<FlushResult> second = pair.Output.WriteAsync("behind"u8.ToArray());

        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
        Assert.Equal("behind", await pair.Client.ReceiveTextAsync(6));
        await WaitUntilAsync(() => first.IsCompleted && second.IsCompleted);
        Assert.False((await first).IsCompleted);
        Assert.False((await second).IsCompleted);
    }

    /// <summary>A read that is refused throws at once on one transport and when awaited on another.</summary>
    private static async Task<ReadResult> ReadAsync(PipeReader input) => await input.ReadAsync().OrTimeout();

    private static async Task AssertReadAsync(ConnectionPair pair, ValueTask<ReadResult> read, string expected)
    {
        ReadResult result = await read.OrTimeout();
        Assert.Equal(expected, result.Buffer.Text());
        Assert.False(result.IsCanceled);
        Assert.False(result.IsCompleted);
        pair.Input.AdvanceTo(result.Buffer.End);
    }

    private static async Task WaitUntilAsync(Func<bool> condition)
    {
        for (DateTime limit = DateTime.UtcNow + Timeouts.Limit; !condition();)
        {
            Assert.True(DateTime.UtcNow < limit, "It did not complete.");
            await Task.Delay(1);
        }
    }
}
