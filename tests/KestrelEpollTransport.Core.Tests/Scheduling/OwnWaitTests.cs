using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Scheduling;

// Not to await is a part of what this class is about.
#pragma warning disable CA2012

/// <summary>
/// Code that blocks its loop's thread, with UnsafeInline, on a read or a flush that this thread would complete: that one fails. Code that is
/// slow costs time, and nobody a read or a flush.
/// </summary>
public class OwnWaitTests
{
    private const int SlowMs = 300;

    /// <summary>More than the kernel takes for a peer that does not receive.</summary>
    private const int Much = 16 * 1024 * 1024;

    public enum Slowness
    {
        Computes,
        Sleeps,
        WaitsForItsOwn,
    }

    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task ReadThatIsWaitedForOnItsLoop_FailsAndTheConnectionGoesOn(Wire wire)
    {
        using TestTransport transport = new(options => options.Scheduling = ApplicationScheduling.UnsafeInline);
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        Task<Exception?> blocked = ReadAndBlockAsync(connection.Transport.Input);

        peer.SendAll([1]);
        InvalidOperationException error = Assert.IsType<InvalidOperationException>(await blocked.OrTimeout());

        Assert.Contains(nameof(ApplicationScheduling.UnsafeInline), error.Message, StringComparison.Ordinal);
        peer.SendAll([2]);
        ReadResult result = await connection.Transport.Input.ReadAsync().OrTimeout();
        Assert.Equal(2, result.Buffer.FirstSpan[0]);
        connection.Transport.Input.AdvanceTo(result.Buffer.End);
        await connection.DisposeAsync().OrTimeout();
    }

    /// <remarks>The one that waits for its own shows that the looks come: it goes on when one has failed its read.</remarks>
    [Theory]
    [InlineData(Wire.Tcp, Slowness.Computes), InlineData(Wire.Unix, Slowness.Computes)]
    [InlineData(Wire.Tcp, Slowness.Sleeps), InlineData(Wire.Unix, Slowness.Sleeps)]
    [InlineData(Wire.Tcp, Slowness.WaitsForItsOwn), InlineData(Wire.Unix, Slowness.WaitsForItsOwn)]
    public async Task ReadAndFlushOfAnother_WhileTheLoopsThreadIsSlow_GoOn(Wire wire, Slowness slowness)
    {
        using TestTransport transport = CreateTransport();
        ConnectionContext slow = transport.Connect(wire, out Socket slowPeer);
        ConnectionContext other = transport.Connect(wire, out Socket otherPeer, bufferSize: 64 * 1024);
        using Socket one = slowPeer;
        using Socket two = otherPeer;
        Task<ReadResult> read = other.Transport.Input.ReadAsync().AsTask();
        Task<FlushResult> flush = other.Transport.Output.WriteAsync(new byte[Much]).AsTask();
        Task<Exception?> handler = RunOnLoopAsync(slow, slowPeer, () => BeSlow(slow.Transport.Input, slowness));

        Assert.Equal(slowness == Slowness.WaitsForItsOwn, await handler.OrTimeout() is InvalidOperationException);

        Assert.False(read.IsCompleted);
        Assert.False(flush.IsCompleted);
        Assert.Equal(Much, otherPeer.ReceiveAll(new byte[Much]));
        Assert.False((await flush.OrTimeout()).IsCompleted);
        await AssertReadsAsync(other, otherPeer, read);
        await EndAsync(slow);
        await EndAsync(other);
    }

    /// <remarks>Somebody else awaits them, which a thread that computes does not keep them from for ever.</remarks>
    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task ReadAndFlush_WhileTheirOwnHandlerComputes_GoOn(Wire wire)
    {
        using TestTransport transport = CreateTransport();
        ConnectionContext connection = transport.Connect(wire, out Socket peer, bufferSize: 64 * 1024);
        using Socket _ = peer;
        Task<ReadResult>? read = null;
        Task<FlushResult>? flush = null;

        await RunOnLoopAsync(connection, peer, () =>
        {
            read = connection.Transport.Input.ReadAsync().AsTask();
            flush = connection.Transport.Output.WriteAsync(new byte[Much]).AsTask();
            BeSlow(connection.Transport.Input, Slowness.Computes);
        }).OrTimeout();

        Assert.Equal(Much, peer.ReceiveAll(new byte[Much]));
        Assert.False((await flush!.OrTimeout()).IsCompleted);
        await AssertReadsAsync(connection, peer, read!);
        await EndAsync(connection);
    }

    /// <remarks>The flush is what the thread waits for: as it fails, the read was looked at too.</remarks>
    [Theory]
    [InlineData(Wire.Tcp, false), InlineData(Wire.Tcp, true)]
    [InlineData(Wire.Unix, false), InlineData(Wire.Unix, true)]
    public async Task ReadThatNobodyAwaits_WhileItsHandlerWaitsForAFlush_GoesOn(Wire wire, bool isCancelled)
    {
        using TestTransport transport = CreateTransport();
        ConnectionContext connection = transport.Connect(wire, out Socket peer, bufferSize: 64 * 1024);
        using Socket _ = peer;
        PipeReader input = connection.Transport.Input;
        ValueTask<ReadResult> read = default;

        Exception? thrown = await RunOnLoopAsync(connection, peer, () =>
        {
            read = input.ReadAsync();
            if (isCancelled)
            {
                // And so completed.
                input.CancelPendingRead();
            }

            connection.Transport.Output.WriteAsync(new byte[Much]).AsTask().GetAwaiter().GetResult();
        }).OrTimeout();

        Assert.IsType<InvalidOperationException>(thrown);
        if (isCancelled)
        {
            Assert.True((await read.OrTimeout()).IsCanceled);
            read = input.ReadAsync();
        }

        await AssertReadsAsync(connection, peer, read.AsTask());
        await EndAsync(connection);
    }

    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task FlushThatNobodyAwaits_WhileItsHandlerWaitsForARead_GoesOn(Wire wire)
    {
        using TestTransport transport = CreateTransport();
        ConnectionContext connection = transport.Connect(wire, out Socket peer, bufferSize: 64 * 1024);
        using Socket _ = peer;
        ValueTask<FlushResult> flush = default;

        Exception? thrown = await RunOnLoopAsync(connection, peer, () =>
        {
            flush = connection.Transport.Output.WriteAsync(new byte[Much]);
            BeSlow(connection.Transport.Input, Slowness.WaitsForItsOwn);
        }).OrTimeout();

        Assert.IsType<InvalidOperationException>(thrown);
        Assert.Equal(Much, peer.ReceiveAll(new byte[Much]));
        Assert.False((await flush.OrTimeout()).IsCompleted);
        await EndAsync(connection);
    }

    private static TestTransport CreateTransport() => new(options =>
    {
        options.Scheduling = ApplicationScheduling.UnsafeInline;
        options.LoopCount = 1;
    });

    /// <summary>Runs <paramref name="handler"/> as what continues with the connection's first read. Returns what it throws.</summary>
    private static Task<Exception?> RunOnLoopAsync(ConnectionContext connection, Socket peer, Action handler)
    {
        Task<Exception?> running = RunAsync();
        peer.SendAll([1]);
        return running;

        async Task<Exception?> RunAsync()
        {
            // A connection's first read is always resumed: what follows runs on the loop's thread.
            ReadResult result = await connection.Transport.Input.ReadAsync().ConfigureAwait(false);
            connection.Transport.Input.AdvanceTo(result.Buffer.End);
            return Record.Exception(handler);
        }
    }

    private static void BeSlow(PipeReader input, Slowness slowness)
    {
        switch (slowness)
        {
            case Slowness.Computes:
                for (long began = Environment.TickCount64; Environment.TickCount64 - began < SlowMs;)
                {
                    Thread.SpinWait(100);
                }

                break;
            case Slowness.Sleeps:
                Thread.Sleep(SlowMs);
                break;
            default:
                input.ReadAsync().AsTask().GetAwaiter().GetResult();
                break;
        }
    }

    private static async Task AssertReadsAsync(ConnectionContext connection, Socket peer, Task<ReadResult> read)
    {
        Assert.False(read.IsCompleted);
        peer.SendAll([2]);
        ReadResult result = await read.OrTimeout();
        Assert.False(result.IsCanceled);
        Assert.Equal(2, result.Buffer.FirstSpan[0]);
        connection.Transport.Input.AdvanceTo(result.Buffer.End);
    }

    /// <summary>At once: what was refused may never be sent.</summary>
    private static async Task EndAsync(ConnectionContext connection)
    {
        connection.Abort();
        await connection.DisposeAsync().OrTimeout();
    }

    private static async Task<Exception?> ReadAndBlockAsync(PipeReader input)
    {
        // A connection's first read is always resumed: what follows runs on the loop's thread.
        ReadResult result = await input.ReadAsync().ConfigureAwait(false);
        input.AdvanceTo(result.Buffer.End);
        return Record.Exception(() => input.ReadAsync().AsTask().GetAwaiter().GetResult());
    }
}
