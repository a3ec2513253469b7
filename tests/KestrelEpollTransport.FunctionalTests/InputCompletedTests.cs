using System.IO.Pipelines;
using System.Net.Sockets;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>
/// An application that reads no more, as one that only streams out: ConnectionClosed tells it of what the client does after
/// that, and of nothing that was read before.
/// </summary>
public class InputCompletedTests
{
    [Theory]
    [AllTransports(Wire.Tcp, false), AllTransports(Wire.Tcp, true)]
    [AllTransports(Wire.Unix, false), AllTransports(Wire.Unix, true)]
    public async Task InputCompleted_BeforeAFlushWaits_ClosesTokenWhenTheClientDoesSomething(TransportKind kind, Wire wire, bool ends)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        await pair.Client.SendAsync("start");
        Assert.Equal("start", await pair.Input.ReadTextAsync(5));
        pair.Input.Complete();

        Task<FlushResult> flush = pair.Output.WriteAsync(new byte[Net.MoreThanTheKernelHolds]).AsTask();

        await AssertFlushWaitsAsync(pair, flush);
        await AssertClosesWithTheClientAsync(pair, ends);
    }

    [Theory]
    [AllTransports(Wire.Tcp, false), AllTransports(Wire.Tcp, true)]
    [AllTransports(Wire.Unix, false), AllTransports(Wire.Unix, true)]
    public async Task InputCompleted_WhileAFlushWaits_ClosesTokenWhenTheClientDoesSomething(TransportKind kind, Wire wire, bool ends)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        Task<FlushResult> flush = pair.Output.WriteAsync(new byte[Net.MoreThanTheKernelHolds]).AsTask();
        await pair.Client.SendAsync("meanwhile");
        Assert.Equal("meanwhile", await pair.Input.ReadTextAsync(9));

        pair.Input.Complete();

        await AssertFlushWaitsAsync(pair, flush);
        await AssertClosesWithTheClientAsync(pair, ends);
    }

    /// <remarks>
    /// What is left for 5 ms is received ahead, by a timer of the loop, and here it is read before or after that. Another connection's timer is
    /// set later: when that one's input is received, the first timer has fired.
    /// </remarks>
    [Theory]
    [AllTransports(Wire.Tcp, false, false), AllTransports(Wire.Tcp, true, false), AllTransports(Wire.Tcp, true, true)]
    [AllTransports(Wire.Unix, false, false), AllTransports(Wire.Unix, true, false), AllTransports(Wire.Unix, true, true)]
    public async Task InputCompleted_AfterInputThatWasLeftIsRead_ClosesTokenWhenTheClientDoesSomething(
        TransportKind kind, Wire wire, bool isReceivedAhead, bool ends)
    {
        await using ConnectionPair pair = await CreateAsync(kind, wire);
        await pair.Client.SendAsync("left");
        if (isReceivedAhead)
        {
            await LeaveInputForTooLongAsync(pair);
        }

        Assert.Equal("left", await pair.Input.ReadTextAsync(4));
        pair.Input.Complete();

        await LeaveInputForTooLongAsync(pair);
        await AssertClosesWithTheClientAsync(pair, ends);
    }

    private static Task<ConnectionPair> CreateAsync(TransportKind kind, Wire wire) => ConnectionPair.CreateAsync(
        kind,
        settings =>
        {
            settings.LoopCount = 1;
            settings.MaxReadBufferSize = null;
        },
        Net.NewEndPoint(wire == Wire.Unix),
        slowClient: true);

    /// <summary>The client of another connection sends more than the kernel holds: it can as soon as that was left for too long.</summary>
    private static async Task LeaveInputForTooLongAsync(ConnectionPair pair)
    {
        await using ConnectionPair other = await pair.CreateAnotherAsync();
        await other.Client.SendAllAsync(new byte[Net.MoreThanTheKernelHolds]);
    }

    private static async Task AssertFlushWaitsAsync(ConnectionPair pair, Task<FlushResult> flush)
    {
        Assert.False(flush.IsCompleted);
        await pair.Client.ReceiveExactlyAsync(Net.MoreThanTheKernelHolds);
        Assert.False((await flush.OrTimeout()).IsCompleted);
    }

    private static async Task AssertClosesWithTheClientAsync(ConnectionPair pair, bool ends)
    {
        await pair.Output.WriteTextAsync("still here");
        Assert.Equal("still here", await pair.Client.ReceiveTextAsync(10));
        Assert.False(pair.Server.ConnectionClosed.IsCancellationRequested);

        if (ends)
        {
            pair.Client.Shutdown(SocketShutdown.Send);
        }
        else
        {
            await pair.Client.SendAsync("nobody reads this");
        }

        await pair.Closed.OrTimeout();
    }
}
