using System.IO.Pipelines;

namespace KestrelEpollTransport.FunctionalTests;

// To drop a read is what this class is about.
#pragma warning disable CA2012

/// <summary>TryRead behind a read whose result nobody took: what that read was given is given once, as by a pipe.</summary>
public class UntakenReadTests
{
    [Theory]
    [AllTransports(Wire.Tcp, false), AllTransports(Wire.Tcp, true)]
    [AllTransports(Wire.Unix, false), AllTransports(Wire.Unix, true)]
    public async Task TryRead_AfterADroppedReadIsCancelled_IsCancelledOnceAndReadingGoesOn(TransportKind kind, Wire wire, bool advances)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(wire == Wire.Unix));

        for (int i = 0; i < 3; i++)
        {
            _ = pair.Input.ReadAsync();
            pair.Input.CancelPendingRead();

            Assert.True(pair.Input.TryRead(out ReadResult result));
            Assert.True(result.IsCanceled);
            Assert.False(result.IsCompleted);
            Assert.True(result.Buffer.IsEmpty);
            if (advances)
            {
                pair.Input.AdvanceTo(result.Buffer.End);
                Assert.Throws<InvalidOperationException>(() => pair.Input.AdvanceTo(result.Buffer.End));
            }

            await AssertNextReadIsOfAsync(pair, "next");
        }
    }

    [Theory, AllTransports(Wire.Tcp), AllTransports(Wire.Unix)]
    public async Task TryRead_AgainAfterADroppedReadIsCancelled_FindsNothing(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(wire == Wire.Unix));
        _ = pair.Input.ReadAsync();
        pair.Input.CancelPendingRead();
        Assert.True(pair.Input.TryRead(out ReadResult result));
        Assert.True(result.IsCanceled);

        Assert.False(pair.Input.TryRead(out _));

        await AssertNextReadIsOfAsync(pair, "next");
    }

    [Theory, AllTransports(Wire.Tcp), AllTransports(Wire.Unix)]
    public async Task TryRead_AfterADroppedReadIsCompletedAndCancelled_HasBothOnce(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(wire == Wire.Unix));
        await DropACompletedReadAsync(pair, "kept");
        pair.Input.CancelPendingRead();

        Assert.True(pair.Input.TryRead(out ReadResult result));

        Assert.True(result.IsCanceled);
        Assert.Equal("kept", result.Buffer.Text());
        pair.Input.AdvanceTo(result.Buffer.End);
        await AssertNextReadIsOfAsync(pair, "next");
    }

    [Theory, AllTransports(Wire.Tcp), AllTransports(Wire.Unix)]
    public async Task TryRead_AfterADroppedReadIsCompleted_HasItsDataUntilAdvanced(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(wire == Wire.Unix));
        await DropACompletedReadAsync(pair, "kept");

        Assert.True(pair.Input.TryRead(out ReadResult result));

        Assert.False(result.IsCanceled);
        Assert.Equal("kept", result.Buffer.Text());
        Assert.Throws<InvalidOperationException>(() => pair.Input.TryRead(out _));
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await pair.Input.ReadAsync());
        pair.Input.AdvanceTo(result.Buffer.End);
        Assert.Throws<InvalidOperationException>(() => pair.Input.AdvanceTo(result.Buffer.End));
        await AssertNextReadIsOfAsync(pair, "next");
    }

    [Theory, AllTransports(Wire.Tcp), AllTransports(Wire.Unix)]
    public async Task TryRead_WhileADroppedReadIsPending_IsRefusedAndReadingGoesOn(TransportKind kind, Wire wire)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(wire == Wire.Unix));
        _ = pair.Input.ReadAsync();

        Assert.Throws<InvalidOperationException>(() => pair.Input.TryRead(out _));

        await AssertNextReadIsOfAsync(pair, "next");
    }

    private static async Task DropACompletedReadAsync(ConnectionPair pair, string text)
    {
        ValueTask<ReadResult> dropped = pair.Input.ReadAsync();
        await pair.Client.SendAsync(text);
        for (DateTime limit = DateTime.UtcNow + Timeouts.Limit; !dropped.IsCompleted;)
        {
            Assert.True(DateTime.UtcNow < limit, "The read did not complete.");
            await Task.Delay(1);
        }
    }

    /// <summary>It waits, and then it has what is sent, and nothing that was there before.</summary>
    private static async Task AssertNextReadIsOfAsync(ConnectionPair pair, string text)
    {
        ValueTask<ReadResult> next = pair.Input.ReadAsync();
        Assert.False(next.IsCompleted);
        await pair.Client.SendAsync(text);
        ReadResult result = await next.OrTimeout();
        Assert.False(result.IsCanceled);
        Assert.False(result.IsCompleted);
        Assert.Equal(text, result.Buffer.Text());
        pair.Input.AdvanceTo(result.Buffer.End);
    }
}
