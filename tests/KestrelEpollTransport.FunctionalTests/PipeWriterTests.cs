using System.IO.Pipelines;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The contract of <see cref="PipeWriter"/> over a real connection.</summary>
public class PipeWriterTests
{
    [Theory, AllTransports]
    public async Task UnflushedBytes_WhileWriting_CountsWhatIsNotFlushed(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        PipeWriter output = pair.Output;

        Assert.True(output.CanGetUnflushedBytes);
        Assert.Equal(0, output.UnflushedBytes);
        Write(output, Net.Pattern(10_000));
        Assert.Equal(10_000, output.UnflushedBytes);
        Write(output, Net.Pattern(5));
        Assert.Equal(10_005, output.UnflushedBytes);

        await output.FlushAsync().OrTimeout();

        Assert.Equal(0, output.UnflushedBytes);
        Net.AssertSame([.. Net.Pattern(10_000), .. Net.Pattern(5)], await pair.Client.ReceiveExactlyAsync(10_005));
    }

    [Theory, AllTransports(0), AllTransports(1), AllTransports(4096), AllTransports(4097), AllTransports(1_000_000)]
    public async Task GetMemory_AnySizeHint_GivesAtLeastThatAndSendsIt(TransportKind kind, int sizeHint)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        byte[] data = Net.Pattern(Math.Max(sizeHint, 1));

        Memory<byte> memory = pair.Output.GetMemory(sizeHint);
        Assert.True(memory.Length >= data.Length);
        data.CopyTo(memory);
        pair.Output.Advance(data.Length);
        Task<FlushResult> flush = pair.Output.FlushAsync().AsTask();

        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
        Assert.False((await flush.OrTimeout()).IsCompleted);
    }

    [Theory, AllTransports]
    public async Task GetMemory_MixedSizesBeforeOneFlush_ArriveInOrder(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        var expected = new List<byte>();
        foreach (int size in new[] { 1, 4095, 2, 5000, 10, 70_000, 3, 4096, 8192, 1 })
        {
            byte[] data = Net.Pattern(size);
            expected.AddRange(data);
            data.CopyTo(pair.Output.GetSpan(size));
            pair.Output.Advance(size);
        }

        Task<FlushResult> flush = pair.Output.FlushAsync().AsTask();

        Net.AssertSame([.. expected], await pair.Client.ReceiveExactlyAsync(expected.Count));
        await flush.OrTimeout();
    }

    [Theory, AllTransports]
    public async Task GetMemory_Unflushed_IsNotSentBeforeFlush(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Write(pair.Output, "first"u8);
        await pair.Output.FlushAsync().OrTimeout();
        Write(pair.Output, "second"u8);

        Assert.Equal("first", await pair.Client.ReceiveTextAsync(5));
        Assert.Equal(0, pair.Client.Available);

        await pair.Output.FlushAsync().OrTimeout();
        Assert.Equal("second", await pair.Client.ReceiveTextAsync(6));
    }

    [Theory, AllTransports]
    public async Task Advance_MoreThanWasGiven_ThrowsArgumentOutOfRange(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        int given = pair.Output.GetMemory(10).Length;

        Assert.Throws<ArgumentOutOfRangeException>(() => pair.Output.Advance(given + 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => pair.Output.Advance(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => pair.Output.GetMemory(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => pair.Output.GetSpan(-1));
    }

    [Theory, AllTransports]
    public async Task Flush_NothingWritten_CompletesAtOnce(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        ValueTask<FlushResult> flush = pair.Output.FlushAsync();

        Assert.True(flush.IsCompletedSuccessfully);
        FlushResult result = await flush;
        Assert.False(result.IsCompleted);
        Assert.False(result.IsCanceled);
    }

    [Theory, AllTransports]
    public async Task CancelPendingFlush_DuringFlush_GivesOneCanceledResultAndLosesNothing(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        Task<FlushResult> flush = pair.Output.WriteAsync(data).AsTask();
        Assert.False(flush.IsCompleted);

        pair.Output.CancelPendingFlush();

        Assert.True((await flush.OrTimeout()).IsCanceled);
        Task<FlushResult> next = pair.Output.FlushAsync().AsTask();
        Assert.False(next.IsCompleted);
        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
        Assert.False((await next.OrTimeout()).IsCanceled);
    }

    [Theory, AllTransports]
    public async Task CancelPendingFlush_BeforeFlush_GivesOneCanceledResultAndSendsTheData(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        pair.Output.CancelPendingFlush();
        FlushResult first = await pair.Output.WriteTextAsync("one");
        FlushResult second = await pair.Output.WriteTextAsync("two");

        Assert.True(first.IsCanceled);
        Assert.False(second.IsCanceled);
        Assert.Equal("onetwo", await pair.Client.ReceiveTextAsync(6));
    }

    [Theory, AllTransports]
    public async Task FlushToken_CancelledDuringFlush_ThrowsAndLosesNothing(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        using var cancel = new CancellationTokenSource();
        Task<FlushResult> flush = pair.Output.WriteAsync(data, cancel.Token).AsTask();
        Assert.False(flush.IsCompleted);

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => flush.OrTimeout());
        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
        await pair.Output.WriteTextAsync("and on");
        Assert.Equal("and on", await pair.Client.ReceiveTextAsync(6));
    }

    [Theory, AllTransports]
    public async Task FlushToken_CancelledBefore_ThrowsAndWriterGoesOn(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => pair.Output.FlushAsync(new CancellationToken(canceled: true)).OrTimeout());

        await pair.Output.WriteTextAsync("on");
        Assert.Equal("on", await pair.Client.ReceiveTextAsync(2));
    }

    [Theory, AllTransports]
    public async Task Use_AfterComplete_ThrowsInvalidOperation(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        await pair.Output.CompleteAsync().OrTimeout();
        pair.Output.Complete();
        pair.Output.Complete(new TimeZoneNotFoundException());

        Assert.Throws<InvalidOperationException>(() => { pair.Output.GetMemory(1); });
        Assert.Throws<InvalidOperationException>(() => { pair.Output.GetSpan(1); });
        await Assert.ThrowsAsync<InvalidOperationException>(() => pair.Output.WriteAsync(new byte[1]).OrTimeout());
        Assert.Empty(await pair.Client.ReceiveToEndAsync());
    }

    [Theory, AllTransports]
    public async Task Flush_AfterComplete_EndsAsOnAPipe(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Output.CompleteAsync().OrTimeout();
        await pair.Closed.OrTimeout();

        // Sockets says that the connection is closed before the other end of its pipe is completed.
        FlushResult flushed;
        using CancellationTokenSource timeout = new(Timeouts.Limit);
        do
        {
            timeout.Token.ThrowIfCancellationRequested();
            flushed = await pair.Output.FlushAsync().OrTimeout();
        }
        while (kind == TransportKind.Sockets && !flushed.IsCompleted);

        Assert.True(flushed.IsCompleted);
    }

    [Theory, AllTransports]
    public async Task AsStream_BothDirections_CarryBytes(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await using Stream input = pair.Input.AsStream();
        await using Stream output = pair.Output.AsStream();
        byte[] data = Net.Pattern(100_000);
        byte[] received = new byte[data.Length];

        Task send = pair.Client.SendAllAsync(data);
        await input.ReadExactlyAsync(received).OrTimeout();
        await send.OrTimeout();
        Net.AssertSame(data, received);

        Task write = output.WriteAsync(data).AsTask();
        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
        await write.OrTimeout();
    }

    [Theory, AllTransports]
    public async Task Flushes_ManySmallFromManyTurns_ArriveInOrder(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        byte[] data = Net.Pattern(20_000);
        Task write = Task.Run(async () =>
        {
            for (int i = 0; i < data.Length; i += 10)
            {
                await pair.Output.WriteAsync(data.AsMemory(i, 10)).ConfigureAwait(false);
            }
        });

        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
        await write.OrTimeout();
    }

    private static void Write(PipeWriter output, ReadOnlySpan<byte> data)
    {
        data.CopyTo(output.GetSpan(data.Length));
        output.Advance(data.Length);
    }
}
