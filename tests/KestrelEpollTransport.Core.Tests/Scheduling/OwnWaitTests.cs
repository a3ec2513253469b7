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
    /// <summary>How many reads the control waits for. The first fails when its thread and the slow one were seen for long enough, or nearly.</summary>
    private const int ControlReads = 3;

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

    /// <remarks>Two others: as each connection goes to the loop that has fewer, one of them shares the slow thread.</remarks>
    [Theory]
    [InlineData(Wire.Tcp, Slowness.Computes), InlineData(Wire.Unix, Slowness.Computes)]
    [InlineData(Wire.Tcp, Slowness.Sleeps), InlineData(Wire.Unix, Slowness.Sleeps)]
    [InlineData(Wire.Tcp, Slowness.WaitsForItsOwn), InlineData(Wire.Unix, Slowness.WaitsForItsOwn)]
    public async Task ReadAndFlushOfAnother_WhileTheLoopsThreadIsSlow_GoOn(Wire wire, Slowness slowness)
    {
        using TestTransport transport = CreateTransport(loopCount: 2);
        ConnectionContext slow = transport.Connect(wire, out Socket slowPeer);
        ConnectionContext control = transport.Connect(wire, out Socket controlPeer);
        ConnectionContext[] others = new ConnectionContext[2];
        Socket[] otherPeers = new Socket[2];
        using Socket one = slowPeer;
        using Socket two = controlPeer;
        for (int i = 0; i < others.Length; i++)
        {
            others[i] = transport.Connect(wire, out otherPeers[i], bufferSize: 64 * 1024);
        }

        Task<ReadResult>[] reads = Array.ConvertAll(others, static other => other.Transport.Input.ReadAsync().AsTask());
        Task<FlushResult>[] flushes = Array.ConvertAll(others, static other => other.Transport.Output.WriteAsync(new byte[Much]).AsTask());

        Exception? thrown = await RunSlowlyAsync(slow, slowPeer, control, controlPeer, slowness);

        Assert.Equal(slowness == Slowness.WaitsForItsOwn, thrown is InvalidOperationException);
        Assert.DoesNotContain(true, reads.Select(static read => read.IsCompleted));
        Assert.DoesNotContain(true, flushes.Select(static flush => flush.IsCompleted));
        for (int i = 0; i < others.Length; i++)
        {
            using Socket peer = otherPeers[i];
            Assert.Equal(Much, peer.ReceiveAll(new byte[Much]));
            Assert.False((await flushes[i].OrTimeout()).IsCompleted);
            await AssertReadsAsync(others[i], peer, reads[i]);
            await EndAsync(others[i]);
        }

        await EndAsync(slow);
        await EndAsync(control);
    }

    /// <remarks>Somebody else awaits them, which a thread that computes does not keep them from for ever.</remarks>
    [Theory]
    [InlineData(Wire.Tcp)]
    [InlineData(Wire.Unix)]
    public async Task ReadAndFlush_WhileTheirOwnHandlerComputes_GoOn(Wire wire)
    {
        using TestTransport transport = CreateTransport(loopCount: 2);
        ConnectionContext connection = transport.Connect(wire, out Socket peer, bufferSize: 64 * 1024);
        ConnectionContext control = transport.Connect(wire, out Socket controlPeer);
        using Socket one = peer;
        using Socket two = controlPeer;
        Task<ReadResult>? read = null;
        Task<FlushResult>? flush = null;

        await RunSlowlyAsync(connection, peer, control, controlPeer, Slowness.Computes, () =>
        {
            read = connection.Transport.Input.ReadAsync().AsTask();
            flush = connection.Transport.Output.WriteAsync(new byte[Much]).AsTask();
        });

        Assert.Equal(Much, peer.ReceiveAll(new byte[Much]));
        Assert.False((await flush!.OrTimeout()).IsCompleted);
        await AssertReadsAsync(connection, peer, read!);
        await EndAsync(connection);
        await EndAsync(control);
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
            WaitForOwnRead(connection.Transport.Input);
        }).OrTimeout();

        Assert.IsType<InvalidOperationException>(thrown);
        Assert.Equal(Much, peer.ReceiveAll(new byte[Much]));
        Assert.False((await flush.OrTimeout()).IsCompleted);
        await EndAsync(connection);
    }

    private static TestTransport CreateTransport(int loopCount = 1) => new(options =>
    {
        options.Scheduling = ApplicationScheduling.UnsafeInline;
        options.LoopCount = loopCount;
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

    /// <summary>
    /// Has the thread of one loop be slow until it was looked at for long enough. The control, on the other loop, shows that: it waits for its
    /// own reads meanwhile, and a look has failed each of them. Returns what the slow handler throws.
    /// </summary>
    private static async Task<Exception?> RunSlowlyAsync(
        ConnectionContext slow, Socket slowPeer, ConnectionContext control, Socket controlPeer, Slowness slowness, Action? before = null)
    {
        TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource looked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<Exception?> handler = RunOnLoopAsync(slow, slowPeer, () =>
        {
            before?.Invoke();
            begun.SetResult();
            BeSlow(slow.Transport.Input, slowness, looked.Task);
        });
        await begun.Task.OrTimeout();
        try
        {
            Assert.Null(await RunOnLoopAsync(control, controlPeer, () => FailControlReads(control.Transport.Input)).OrTimeout());
        }
        finally
        {
            looked.SetResult();
        }

        return await handler.OrTimeout();
    }

    private static void FailControlReads(PipeReader input)
    {
        for (int i = 0; i < ControlReads; i++)
        {
            Assert.Throws<InvalidOperationException>(() => WaitForOwnRead(input));
        }
    }

    private static void BeSlow(PipeReader input, Slowness slowness, Task until)
    {
        switch (slowness)
        {
            case Slowness.Computes:
                while (!until.IsCompleted)
                {
                    Thread.SpinWait(100);
                }

                break;
            case Slowness.Sleeps:
                until.Wait();
                break;
            default:
                WaitForOwnRead(input);
                break;
        }
    }

    private static void WaitForOwnRead(PipeReader input) => input.ReadAsync().AsTask().GetAwaiter().GetResult();

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
