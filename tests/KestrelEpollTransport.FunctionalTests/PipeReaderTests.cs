using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The contract of <see cref="PipeReader"/> over a real connection.</summary>
public class PipeReaderTests
{
    [Theory, AllTransports]
    public async Task TryRead_NothingThere_IsFalse(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        Assert.False(pair.Input.TryRead(out ReadResult result));
        Assert.True(result.Buffer.IsEmpty);
        Assert.False(result.IsCompleted);
    }

    [Theory, AllTransports]
    public async Task TryRead_UnconsumedData_GivesItAgainUntilConsumed(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("abcdef");
        ReadResult first = await pair.Input.ReadWithoutConsumingAsync(6);
        pair.Input.AdvanceTo(first.Buffer.GetPosition(2));

        Assert.True(pair.Input.TryRead(out ReadResult second));
        Assert.Equal("cdef", second.Buffer.Text());
        pair.Input.AdvanceTo(second.Buffer.End);

        Assert.False(pair.Input.TryRead(out _));
    }

    [Theory, AllTransports]
    public async Task TryRead_EverythingExamined_IsFalseUntilMoreComes(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("abc");
        ReadResult first = await pair.Input.ReadWithoutConsumingAsync(3);
        pair.Input.AdvanceTo(first.Buffer.Start, first.Buffer.End);

        Assert.False(pair.Input.TryRead(out _));

        await pair.Client.SendAsync("def");
        ReadResult second = await pair.Input.ReadWithoutConsumingAsync(6);
        Assert.Equal("abcdef", second.Buffer.Text());
        pair.Input.AdvanceTo(second.Buffer.End);
    }

    [Theory, AllTransports]
    public async Task TryRead_AfterClientFin_IsCompletedInTheEnd(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        pair.Client.Shutdown(SocketShutdown.Send);
        ReadResult end = await pair.Input.ReadAsync().OrTimeout();
        pair.Input.AdvanceTo(end.Buffer.End);

        Assert.True(pair.Input.TryRead(out ReadResult result));
        Assert.True(result.IsCompleted);
        pair.Input.AdvanceTo(result.Buffer.End);
    }

    [Theory, AllTransports]
    public async Task Read_ExaminedNotConsumed_WaitsForMoreAndKeepsAll(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("abc");
        ReadResult first = await pair.Input.ReadWithoutConsumingAsync(3);
        pair.Input.AdvanceTo(first.Buffer.GetPosition(1), first.Buffer.End);
        Task<ReadResult> second = pair.Input.ReadAsync().AsTask();
        Assert.False(second.IsCompleted);

        await pair.Client.SendAsync("d");

        ReadResult result = await second.OrTimeout();
        Assert.Equal("bcd", result.Buffer.Text());
        pair.Input.AdvanceTo(result.Buffer.End);
    }

    [Theory, AllTransports]
    public async Task Read_NotExamined_CompletesAtOnceWithTheSame(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("abc");
        ReadResult first = await pair.Input.ReadWithoutConsumingAsync(3);
        pair.Input.AdvanceTo(first.Buffer.Start, first.Buffer.GetPosition(2));

        ValueTask<ReadResult> second = pair.Input.ReadAsync();

        Assert.True(second.IsCompletedSuccessfully);
        ReadResult result = await second;
        Assert.Equal("abc", result.Buffer.Text());
        pair.Input.AdvanceTo(result.Buffer.End);
    }

    [Theory, AllTransports(1), AllTransports(4096), AllTransports(4097), AllTransports(100_000)]
    public async Task ReadAtLeast_SentInPieces_GivesAtLeastThat(TransportKind kind, int size)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        byte[] data = Net.Pattern(size);
        Task<ReadResult> read = pair.Input.ReadAtLeastAsync(size).AsTask();

        await pair.Client.SendAllAsync(data.AsMemory(0, size / 2));
        await pair.Client.SendAllAsync(data.AsMemory(size / 2));

        ReadResult result = await read.OrTimeout();
        Net.AssertSame(data, result.Buffer.ToArray());
        pair.Input.AdvanceTo(result.Buffer.End);
    }

    [Theory, AllTransports]
    public async Task ReadAtLeast_ClientEndsBefore_IsCompletedWithWhatCame(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Task<ReadResult> read = pair.Input.ReadAtLeastAsync(100).AsTask();
        await pair.Client.SendAsync("short");

        pair.Client.Shutdown(SocketShutdown.Send);

        ReadResult result = await read.OrTimeout();
        Assert.True(result.IsCompleted);
        Assert.Equal("short", result.Buffer.Text());
        pair.Input.AdvanceTo(result.Buffer.End);
    }

    [Theory, AllTransports]
    public async Task Read_MoreThanABlock_SpansSegmentsThatSliceAnywhere(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        byte[] data = Net.Pattern(50_000);
        Task send = pair.Client.SendAllAsync(data);

        ReadResult result = await pair.Input.ReadWithoutConsumingAsync(data.Length);
        await send.OrTimeout();

        Assert.False(result.Buffer.IsSingleSegment);
        Net.AssertSame(data[4000..4200], result.Buffer.Slice(4000, 200).ToArray());
        pair.Input.AdvanceTo(result.Buffer.GetPosition(12_345));
        ReadResult rest = await pair.Input.ReadAsync().OrTimeout();
        Net.AssertSame(data[12_345..], rest.Buffer.ToArray());
        pair.Input.AdvanceTo(rest.Buffer.End);
    }

    [Theory, AllTransports]
    public async Task CancelPendingRead_DuringRead_GivesOneCanceledResult(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Task<ReadResult> read = pair.Input.ReadAsync().AsTask();

        pair.Input.CancelPendingRead();

        await AssertOneCanceledReadAsync(pair, read);
    }

    [Theory, AllTransports]
    public async Task CancelPendingRead_BeforeRead_GivesOneCanceledResult(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        pair.Input.CancelPendingRead();
        pair.Input.CancelPendingRead();

        await AssertOneCanceledReadAsync(pair, pair.Input.ReadAsync().AsTask());
    }

    [Theory, AllTransports]
    public async Task CancelPendingRead_BeforeTryRead_GivesOneCanceledResult(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        pair.Input.CancelPendingRead();

        Assert.True(pair.Input.TryRead(out ReadResult result));
        Assert.True(result.IsCanceled);
        pair.Input.AdvanceTo(result.Buffer.End);
        Assert.False(pair.Input.TryRead(out _));
    }

    [Theory, AllTransports]
    public async Task ReadToken_CancelledDuringRead_ThrowsAndReaderGoesOn(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        using var cancel = new CancellationTokenSource();
        Task<ReadResult> read = pair.Input.ReadAsync(cancel.Token).AsTask();

        await cancel.CancelAsync();

        var error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.OrTimeout());
        Assert.Equal(cancel.Token, error.CancellationToken);
        await pair.Client.SendAsync("on");
        Assert.Equal("on", await pair.Input.ReadTextAsync(2));
    }

    [Theory, AllTransports]
    public async Task ReadToken_CancelledBefore_ThrowsAndLosesNoData(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("kept");

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pair.Input.ReadAsync(new CancellationToken(canceled: true)).OrTimeout());

        Assert.Equal("kept", await pair.Input.ReadTextAsync(4));
    }

    [Theory, AllTransports]
    public async Task Read_WhileOneIsPending_ThrowsInvalidOperation(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Task<ReadResult> first = pair.Input.ReadAsync().AsTask();

        await Assert.ThrowsAsync<InvalidOperationException>(() => pair.Input.ReadAsync().OrTimeout());

        // A pipe fails the pending read as well; what becomes of it is not part of the contract, that it ends is.
        await pair.Client.SendAsync("x");
        await first.ContinueWith(_ => { }, TaskScheduler.Default).OrTimeout();
    }

    [Theory, AllTransports]
    public async Task AdvanceTo_WithoutRead_ThrowsInvalidOperation(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("abc");
        ReadResult result = await pair.Input.ReadWithoutConsumingAsync(3);
        SequencePosition end = result.Buffer.End;
        pair.Input.AdvanceTo(end);

        Assert.Throws<InvalidOperationException>(() => pair.Input.AdvanceTo(end));
    }

    [Theory, AllTransports]
    public async Task AdvanceTo_ExaminedBeforeConsumed_ThrowsInvalidOperation(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        await pair.Client.SendAsync("abc");
        ReadResult result = await pair.Input.ReadWithoutConsumingAsync(3);

        Assert.Throws<InvalidOperationException>(() => pair.Input.AdvanceTo(result.Buffer.End, result.Buffer.Start));
    }

    [Theory, AllTransports]
    public async Task Use_AfterComplete_ThrowsInvalidOperation(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);

        await pair.Input.CompleteAsync().OrTimeout();
        pair.Input.Complete();
        pair.Input.Complete(new TimeZoneNotFoundException());

        await Assert.ThrowsAsync<InvalidOperationException>(() => pair.Input.ReadAsync().OrTimeout());
        Assert.Throws<InvalidOperationException>(() => pair.Input.TryRead(out _));
        // The other direction is none of the reader's business.
        await pair.Output.WriteTextAsync("alive");
        Assert.Equal("alive", await pair.Client.ReceiveTextAsync(5));
    }

    [Theory, AllTransports]
    public async Task CopyTo_UntilClientEnds_CopiesAll(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        byte[] data = Net.Pattern(300_000);
        using var copy = new MemoryStream();
        Task copying = pair.Input.CopyToAsync(copy);

        await pair.Client.SendAllAsync(data);
        pair.Client.Shutdown(SocketShutdown.Send);

        await copying.OrTimeout();
        Net.AssertSame(data, copy.ToArray());
    }

    [Theory, AllTransports]
    public async Task Continuation_OfARead_RunsWithTheCallersAsyncLocals(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        var local = new AsyncLocal<string?>();
        Task<string?> reading = Task.Run<string?>(async () =>
        {
            local.Value = "reader";
            ReadResult result = await pair.Input.ReadAsync().ConfigureAwait(false);
            pair.Input.AdvanceTo(result.Buffer.End);
            return local.Value;
        });

        await pair.Client.SendAsync("x");

        Assert.Equal("reader", await reading.OrTimeout());
        Assert.Null(local.Value);
    }

    private static async Task AssertOneCanceledReadAsync(ConnectionPair pair, Task<ReadResult> read)
    {
        ReadResult result = await read.OrTimeout();
        Assert.True(result.IsCanceled);
        Assert.False(result.IsCompleted);
        pair.Input.AdvanceTo(result.Buffer.End);

        Task<ReadResult> next = pair.Input.ReadAsync().AsTask();
        await pair.Client.SendAsync("next");
        result = await next.OrTimeout();
        Assert.False(result.IsCanceled);
        pair.Input.AdvanceTo(result.Buffer.Start, result.Buffer.Start);
        Assert.Equal("next", await pair.Input.ReadTextAsync(4));
    }
}
