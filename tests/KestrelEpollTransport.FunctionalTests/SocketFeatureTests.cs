using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What an application may do to the socket of a connection, and what the connection makes of it.</summary>
public class SocketFeatureTests
{
    private const int SolSocket = 1;
    private const int SoTimestamping = 37;

    public enum ClosedBy
    {
        Close,
        CloseNow,
        Dispose,
        Using,
    }

    /// <remarks>On Sockets all four are one: a socket that is closed while a receive is pending is reset.</remarks>
    [Theory]
    [AllTransports(ClosedBy.Close, false), AllTransports(ClosedBy.CloseNow, false)]
    [AllTransports(ClosedBy.Dispose, false), AllTransports(ClosedBy.Using, false)]
    [AllTransports(ClosedBy.Close, true), AllTransports(ClosedBy.CloseNow, true)]
    [AllTransports(ClosedBy.Dispose, true), AllTransports(ClosedBy.Using, true)]
    public async Task Socket_ClosedDuringARead_ResetsClientAndEndsTheConnection(TransportKind kind, ClosedBy how, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        Task<ReadResult> read = pair.Input.ReadAsync().AsTask();

        Close(SocketOf(pair), how);

        await AssertClientSeesTheEndAsync(pair, unix);
        await pair.Closed.OrTimeout();
        await AssertOperationAbortedAsync(kind, () => read);
        await AssertWritesEndAsync(pair.Output);
        await pair.Server.DisposeAsync().OrTimeout();
        Assert.DoesNotContain(pair.Logs.Of(kind), entry => entry.Level > LogLevel.Debug);
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Socket_ClosedWithBytesBuffered_FailsTheNextRead(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        await pair.Client.SendAsync("unread");
        ReadResult result = await pair.Input.ReadWithoutConsumingAsync(6);
        pair.Input.AdvanceTo(result.Buffer.Start, result.Buffer.Start);

        SocketOf(pair).Close(0);

        await AssertClientSeesTheEndAsync(pair, unix);
        await pair.Closed.OrTimeout();
        await AssertOperationAbortedAsync(kind, async () => await pair.Input.ReadAsync());
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Socket_ShutDown_IsACleanEndForBoth(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        Task<byte[]> read = pair.Input.ReadToEndAsync();

        SocketOf(pair).Shutdown(SocketShutdown.Both);

        Assert.Empty(await pair.Client.ReceiveToEndAsync());
        Assert.Empty(await read.OrTimeout());
        await pair.Closed.OrTimeout();
    }

    /// <remarks>It says true, as one of <see cref="Socket.Accept()"/> does, though the descriptor itself never blocks.</remarks>
    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Socket_SynchronousSend_WaitsForRoomWhileThePipesGoOn(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix), slowClient: true);
        Socket socket = SocketOf(pair);
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        Task<ReadResult> read = pair.Input.ReadAsync().AsTask();

        Task<int> send = Task.Run(() => socket.Send(data));

        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
        Assert.Equal(data.Length, await send.OrTimeout());
        Assert.True(socket.Blocking);
        await pair.Client.SendAsync("on");
        ReadResult result = await read.OrTimeout();
        Assert.Equal("on", result.Buffer.Text());
        pair.Input.AdvanceTo(result.Buffer.End);
        await pair.Output.WriteTextAsync("and on");
        Assert.Equal("and on", await pair.Client.ReceiveTextAsync(6));
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Socket_SynchronousReceive_WaitsForBytesOrItsTimeout(TransportKind kind, bool unix)
    {
        // Two bytes are the bound, and they are held: the transport leaves the rest to the application's own receive.
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxReadBufferSize = 2, Net.NewEndPoint(unix));
        await pair.Client.SendAsync("ab");
        ReadResult held = await pair.Input.ReadWithoutConsumingAsync(2);
        Socket socket = SocketOf(pair);

        socket.ReceiveTimeout = 100;
        SocketException error = Assert.Throws<SocketException>(() => socket.Receive(new byte[1]));
        Assert.Equal(SocketError.TimedOut, error.SocketErrorCode);

        socket.ReceiveTimeout = (int)Timeouts.Limit.TotalMilliseconds;
        byte[] received = new byte[10];
        Task<int> receive = Task.Run(() => socket.Receive(received));
        await Task.Delay(50);
        await pair.Client.SendAsync("cd");

        Assert.Equal(2, await receive.OrTimeout());
        Assert.Equal("cd"u8.ToArray(), received[..2]);
        pair.Input.AdvanceTo(held.Buffer.End);
        await pair.Client.SendAsync("ef");
        Assert.Equal("ef", await pair.Input.ReadTextAsync(2));
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Socket_KeptAfterTheConnectionsEnd_ThrowsAndReachesNobodyElse(TransportKind kind, bool unix)
    {
        await using ConnectionPair first = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        Socket kept;
        await using (ConnectionPair pair = await first.CreateAnotherAsync())
        {
            kept = SocketOf(pair);
            Assert.Equal(1, await kept.SendAsync(new byte[1]).OrTimeout());
        }

        // These are given the number that has become free.
        await using ConnectionPair second = await first.CreateAnotherAsync();
        await using ConnectionPair third = await first.CreateAnotherAsync();

        Assert.Throws<ObjectDisposedException>(() => kept.Send("astray"u8));
        Assert.Throws<ObjectDisposedException>(() => kept.Receive(new byte[1]));
        Assert.Throws<ObjectDisposedException>(() => kept.Shutdown(SocketShutdown.Both));
        kept.Dispose();
        foreach (ConnectionPair other in new[] { second, third })
        {
            await other.Output.WriteTextAsync("mine");
            Assert.Equal("mine", await other.Client.ReceiveTextAsync(4));
        }
    }

    /// <remarks>
    /// epoll tells EPOLLERR for an entry of the socket's error queue, and a time stamp is one: nothing is wrong. A kqueue
    /// has no such thing, and its model calls every EPOLLERR a reset.
    /// </remarks>
    [Theory]
    [InlineData(TransportKind.Sockets)]
    [InlineData(TransportKind.EpollThreadPool)]
    [InlineData(TransportKind.EpollInline)]
    [InlineData(TransportKind.EpollAdaptive)]
    public async Task ErrorQueue_HoldsTimeStamps_ConnectionGoesOn(TransportKind kind)
    {
        const int TxSoftware = 1 << 1;
        const int Software = 1 << 4;
        const int TimestampOnly = 1 << 11;
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        SocketOf(pair).SetRawSocketOption(SolSocket, SoTimestamping, BitConverter.GetBytes(TxSoftware | Software | TimestampOnly));

        for (int i = 0; i < 50; i++)
        {
            await pair.Client.SendAsync("ping");
            Assert.Equal("ping", await pair.Input.ReadTextAsync(4));
            Assert.False((await pair.Output.WriteTextAsync("pong")).IsCompleted);
            Assert.Equal("pong", await pair.Client.ReceiveTextAsync(4));
        }

        Assert.False(pair.Server.ConnectionClosed.IsCancellationRequested);
        pair.Client.Shutdown(SocketShutdown.Send);
        Assert.Empty(await pair.Input.ReadToEndAsync());
        await pair.Closed.OrTimeout();
    }

    private static Socket SocketOf(ConnectionPair pair) => pair.Server.Features.Get<IConnectionSocketFeature>()!.Socket;

    private static void Close(Socket socket, ClosedBy how)
    {
        switch (how)
        {
            case ClosedBy.Close:
                socket.Close();
                break;
            case ClosedBy.CloseNow:
                socket.Close(0);
                break;
            case ClosedBy.Dispose:
                socket.Dispose();
                break;
            case ClosedBy.Using:
                using (socket)
                {
                    Assert.True(socket.Connected);
                }

                break;
        }
    }

    private static async Task AssertClientSeesTheEndAsync(ConnectionPair pair, bool unix)
    {
        if (unix)
        {
            // There is no reset between unix sockets but one for unread bytes.
            Assert.Empty(await pair.Client.ReceiveToEndAsync());
        }
        else
        {
            await pair.Client.AssertResetAsync();
        }
    }

    /// <summary>Sockets' own receive fails like this, and an application gets it as it is; the other one if it was closed between two receives.</summary>
    private static async Task AssertOperationAbortedAsync(TransportKind kind, Func<Task<ReadResult>> read)
    {
        Exception? error = await Record.ExceptionAsync(() => read().OrTimeout());
        if (kind != TransportKind.Sockets || error is not ObjectDisposedException)
        {
            Assert.Equal(SocketError.OperationAborted, Assert.IsType<SocketException>(error).SocketErrorCode);
        }
    }

    private static async Task AssertWritesEndAsync(PipeWriter output)
    {
        // A pipe takes the first.
        FlushResult result = default;
        for (DateTime limit = DateTime.UtcNow + Timeouts.Limit; !result.IsCompleted && DateTime.UtcNow < limit;)
        {
            result = await output.WriteTextAsync("anyone there?");
        }

        Assert.True(result.IsCompleted);
    }
}
