using System.IO.Pipelines;
using System.Net.Sockets;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What arrived before the client's FIN is read whole, and then the end, whatever the application does meanwhile.</summary>
public class FinBehindDataTests
{
    private const int ReceivedFin = 6;
    private const int SentFin = 7;

    [Theory]
    [AllTransports(10, false), AllTransports(10_000, false), AllTransports(900_000, false)]
    [AllTransports(10, true), AllTransports(10_000, true), AllTransports(900_000, true)]
    public async Task ClientFin_BehindDataAndAbortNullBeforeReading_AllIsReadAndTheEndIsClean(TransportKind kind, int size, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        byte[] data = Net.Pattern(size);
        Task send = SendAndEndAsync(pair.Client, data);

        // All of it fits MaxReadBufferSize, so the end is seen behind it although nobody reads.
        await pair.Closed.OrTimeout();
        pair.Server.Abort(null!);

        Net.AssertSame(data, await pair.Input.ReadToEndAsync());
        await send.OrTimeout();
        Assert.Empty(await pair.Client.ReceiveToEndAsync());
    }

    [Theory, AllTransports(10, false), AllTransports(10_000, false), AllTransports(10, true), AllTransports(10_000, true)]
    public async Task ClientFin_BehindDataAndAbortNullWhileAReadIsHeld_AllIsReadAndTheEndIsClean(TransportKind kind, int size, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        byte[] data = Net.Pattern(size);
        await pair.Client.SendAllAsync(data.AsMemory(0, 1));
        ReadResult held = await pair.Input.ReadAsync().OrTimeout();

        await SendAndEndAsync(pair.Client, data.AsMemory(1));
        await pair.Closed.OrTimeout();
        pair.Server.Abort(null!);
        pair.Input.AdvanceTo(held.Buffer.Start, held.Buffer.End);

        Net.AssertSame(data, await pair.Input.ReadToEndAsync());
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task ClientFin_BehindMoreThanTheReadBound_IsToldWhenTheRestFits(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, s => s.MaxReadBufferSize = 64 * 1024, Net.NewEndPoint(unix));
        byte[] data = Net.Pattern(200_000);
        Task send = SendAndEndAsync(pair.Client, data);

        // Time for a transport to tell the end too early; nothing is proved by it when it does not.
        await Task.Delay(200);
        Assert.False(pair.Closed.IsCompleted);

        ReadResult all = await pair.Input.ReadWithoutConsumingAsync(data.Length);
        pair.Input.AdvanceTo(all.Buffer.Start, all.Buffer.End);
        await pair.Closed.OrTimeout();
        pair.Server.Abort(null!);

        Net.AssertSame(data, await pair.Input.ReadToEndAsync());
        await send.OrTimeout();
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task ClientFin_BehindDataAndAbortNull_IsToldOnceAndReadsRepeatTheEnd(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        await SendAndEndAsync(pair.Client, Net.Pattern(10));
        await pair.Closed.OrTimeout();
        pair.Server.Abort(null!);

        Net.AssertSame(Net.Pattern(10), await pair.Input.ReadToEndAsync());
        for (int i = 0; i < 3; i++)
        {
            Assert.Empty(await pair.Input.ReadToEndAsync());
        }

        await pair.AssertServerLoggedAsync(ReceivedFin, SentFin);
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task AbortNull_BeforeTheClientsEnd_FailsTheNextReadThoughBytesAreBuffered(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        await BufferTenBytesAsync(pair);

        pair.Server.Abort(null!);

        await pair.Closed.OrTimeout();
        await pair.AssertReadFailsGracefullyAsync();
        await pair.AssertServerLoggedAsync(SentFin);
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task OutputComplete_BeforeTheClientsEnd_FailsTheNextReadThoughBytesAreBuffered(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        await BufferTenBytesAsync(pair);

        await pair.Output.CompleteAsync().OrTimeout();

        await pair.Closed.OrTimeout();
        await pair.AssertReadFailsGracefullyAsync();
        await pair.AssertServerLoggedAsync(SentFin);
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task OutputComplete_AfterTheClientsFin_AllIsStillRead(TransportKind kind, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        byte[] data = Net.Pattern(10_000);
        await SendAndEndAsync(pair.Client, data);
        await pair.Closed.OrTimeout();

        await pair.Output.CompleteAsync().OrTimeout();

        Assert.Empty(await pair.Client.ReceiveToEndAsync());
        Net.AssertSame(data, await pair.Input.ReadToEndAsync());
    }

    private static async Task SendAndEndAsync(Socket client, ReadOnlyMemory<byte> data)
    {
        await client.SendAllAsync(data);
        client.Shutdown(SocketShutdown.Send);
    }

    private static async Task BufferTenBytesAsync(ConnectionPair pair)
    {
        await pair.Client.SendAllAsync(new byte[10]);
        ReadResult result = await pair.Input.ReadWithoutConsumingAsync(10);
        pair.Input.AdvanceTo(result.Buffer.Start, result.Buffer.Start);
    }
}
