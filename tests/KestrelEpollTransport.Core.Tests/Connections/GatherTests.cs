using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>Which flushes leave together, when a marked one leaves, and how long a flush waits. Some of it is a matter of time.</summary>
[Collection(RunsAlone.Name)]
public class GatherTests
{
    private const int PieceLength = 100;

    public static TheoryData<Wire, ApplicationScheduling> WiresAndModes => PipeOverSocketTests.WiresAndModes;

    [Theory]
    [MemberData(nameof(WiresAndModes))]
    public async Task TwoFlushes_InOneDispatch_ArriveInOneReceive(Wire wire, ApplicationScheduling scheduling)
    {
        const int Rounds = 100;
        using TestTransport transport = new(options => options.Scheduling = scheduling);
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        int nothingBetween = 0;
        Task handler = Task.Run(async () =>
        {
            PipeReader input = connection.Transport.Input;
            PipeWriter output = connection.Transport.Output;
            while (true)
            {
                ReadResult result = await input.ReadAsync();
                input.AdvanceTo(result.Buffer.End);
                if (result.IsCompleted)
                {
                    break;
                }

                await output.WriteAsync(new byte[PieceLength]);
                nothingBetween += peer.Available == 0 ? 1 : 0;
                await output.WriteAsync(new byte[PieceLength]);
            }

            await connection.DisposeAsync();
        });
        int together = 0;
        byte[] buffer = new byte[10 * PieceLength];

        for (int i = 0; i < Rounds; i++)
        {
            peer.SendAll([1]);
            int first = peer.Receive(buffer);
            together += first == 2 * PieceLength ? 1 : 0;
            Assert.Equal((2 * PieceLength) - first, peer.ReceiveAll(buffer.AsSpan(0, (2 * PieceLength) - first)));
        }

        peer.Shutdown(SocketShutdown.Send);
        await handler.OrTimeout();

        // Not in every round: the watch looks when it looks, and then sends the first piece alone.
        Assert.InRange(together, Rounds * 8 / 10, Rounds);
        Assert.InRange(nothingBetween, Rounds * 8 / 10, Rounds);
    }

    [Theory]
    [MemberData(nameof(WiresAndModes))]
    public async Task MarkedFlush_WhoseHandlerThenBlocks_LeavesMeanwhile(Wire wire, ApplicationScheduling scheduling)
    {
        using TestTransport transport = new(options => options.Scheduling = scheduling);
        ConnectionContext connection = transport.Connect(wire, out Socket peer);
        using Socket _ = peer;
        using ManualResetEventSlim received = new();
        bool arrivedWhileBlocked = false;
        Task handler = Task.Run(async () =>
        {
            // Awaited right here: what awaits the task of another method may be late, and go on outside the dispatch.
            ReadResult result = await connection.Transport.Input.ReadAsync();
            connection.Transport.Input.AdvanceTo(result.Buffer.End);
            ValueTask<FlushResult> flushed = connection.Transport.Output.WriteAsync(new byte[PieceLength]);
            Assert.True(flushed.IsCompletedSuccessfully);
            arrivedWhileBlocked = received.Wait(Timeouts.Limit);
            await connection.DisposeAsync();
        });

        peer.SendAll([1]);
        byte[] buffer = new byte[PieceLength];
        Assert.Equal(PieceLength, await Task.Run(() => peer.ReceiveAll(buffer)).OrTimeout());
        received.Set();

        peer.Shutdown(SocketShutdown.Send);
        await handler.OrTimeout();
        Assert.True(arrivedWhileBlocked);
    }

    [Theory]
    [MemberData(nameof(WiresAndModes))]
    public async Task Flush_AboveTheBound_WaitsUntilAtMostHalfIsUnsent(Wire wire, ApplicationScheduling scheduling)
    {
        const int Bound = 256 * 1024;
        const int Total = 2 * 1024 * 1024;

        // More than the kernel holds between the ends with buffers of this size (it doubles them, socket(7)).
        const int BufferSize = 16 * 1024;
        const int MostInKernel = 256 * 1024;
        using TestTransport transport = new(options =>
        {
            options.Scheduling = scheduling;
            options.MaxWriteBufferSize = Bound;
        });
        ConnectionContext connection = transport.Connect(wire, out Socket peer, BufferSize);
        using Socket _ = peer;
        byte[] buffer = new byte[Total];

        Task<FlushResult> flush = connection.Transport.Output.WriteAsync(new byte[Total]).AsTask();
        Assert.False(flush.IsCompleted);

        // However much the kernel has taken: more than half of the bound is unsent.
        const int StillWaiting = Total - (Bound / 2) - MostInKernel - 1;
        Assert.Equal(StillWaiting, peer.ReceiveAll(buffer.AsSpan(0, StillWaiting)));
        Assert.False(flush.IsCompleted);

        // However little it has: at most half of the bound is unsent.
        const int Enough = Total - (Bound / 2);
        Assert.Equal(Enough - StillWaiting, peer.ReceiveAll(buffer.AsSpan(0, Enough - StillWaiting)));
        FlushResult result = await flush.OrTimeout();

        Assert.False(result.IsCompleted);
        Assert.False(result.IsCanceled);
        Assert.Equal(Total - Enough, peer.ReceiveAll(buffer.AsSpan(0, Total - Enough)));
        peer.Shutdown(SocketShutdown.Send);
        await connection.DisposeAsync().OrTimeout();
        await transport.Pool.AssertAllReturnedAsync();
    }

    [Fact]
    public async Task Flush_OfAsMuchAsTheBound_DoesNotWait()
    {
        const int Bound = 1024 * 1024;
        using TestTransport transport = new(options => options.MaxWriteBufferSize = Bound);
        ConnectionContext connection = transport.Connect(Wire.Unix, out Socket peer, bufferSize: 16 * 1024);
        using Socket _ = peer;

        ValueTask<FlushResult> flush = connection.Transport.Output.WriteAsync(new byte[Bound]);

        Assert.True(flush.IsCompletedSuccessfully);
        connection.Abort();
        await connection.DisposeAsync().OrTimeout();
        await transport.Pool.AssertAllReturnedAsync();
    }
}
