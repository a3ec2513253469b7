using System.Buffers;
using System.IO.Pipelines;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>
/// Both sides write before they read. It ends well as long as the transport takes off the wire what the client sends
/// meanwhile, up to MaxReadBufferSize; what the kernel holds comes on top (little, for a unix socket).
/// </summary>
public class BothWriteFirstTests
{
    /// <remarks>The sizes are the largest round ones that Sockets completes over unix sockets; over TCP it takes more.</remarks>
    [Theory, AllTransports(1_000_000, false), AllTransports(1_000_000, true)]
    public async Task FlushPending_ClientSendsBeforeItReceives_BothComplete(TransportKind kind, int clientSends, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix), slowClient: true);
        byte[] down = Net.Pattern(Net.MoreThanTheKernelHolds);
        byte[] up = Net.Pattern(clientSends);
        Task<byte[]> server = Task.Run(async () =>
        {
            await pair.Output.WriteAsync(down);
            return await pair.Input.ReadExactlyAsync(up.Length);
        });

        await pair.Client.SendAllAsync(up);

        Net.AssertSame(down, await pair.Client.ReceiveExactlyAsync(down.Length));
        Net.AssertSame(up, await server.OrTimeout());
    }

    [Theory, AllTransports(1_200_000, false), AllTransports(1_200_000, true)]
    public async Task Echo_ClientSendsAllBeforeItReceives_Completes(TransportKind kind, int size, bool unix)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: Net.NewEndPoint(unix));
        byte[] data = Net.Pattern(size);
        Task echo = Task.Run(async () =>
        {
            for (long echoed = 0; echoed < size;)
            {
                ReadResult result = await pair.Input.ReadAsync();
                echoed += result.Buffer.Length;
                pair.Output.Write(result.Buffer.ToArray());
                pair.Input.AdvanceTo(result.Buffer.End);
                await pair.Output.FlushAsync();
            }
        });

        await pair.Client.SendAllAsync(data);

        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(size));
        await echo.OrTimeout();
    }
}
