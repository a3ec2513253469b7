using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections.Features;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Where exactly MaxWriteBufferSize makes a flush wait.</summary>
public class WriteBoundTests
{
    /// <remarks>A pipe pauses its writer at the threshold, not above it.</remarks>
    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Flush_ExactlyTheWriteBoundUnsent_WaitsAndOneByteLessDoesNot(TransportKind kind, bool unix)
    {
        const int Bound = 64 * 1024;
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(
            kind, s => s.MaxWriteBufferSize = Bound, Net.NewEndPoint(unix), slowClient: true);
        int inTheKernel = await FillTheKernelAsync(pair.Server.Features.Get<IConnectionSocketFeature>()!.Socket);

        Assert.False((await pair.Output.WriteAsync(new byte[Bound - 1]).OrTimeout()).IsCompleted);
        Task<FlushResult> flush = pair.Output.WriteAsync(new byte[1]).AsTask();

        Assert.False(flush.IsCompleted);
        await pair.Client.ReceiveExactlyAsync(inTheKernel + Bound);
        Assert.False((await flush.OrTimeout()).IsCompleted);
    }

    /// <summary>Past the transport, so that it has sent nothing itself when there is no room left.</summary>
    private static async Task<int> FillTheKernelAsync(Socket socket)
    {
        byte[] data = new byte[64 * 1024];
        socket.Blocking = false;
        int sent = 0;

        // What the client's kernel takes over makes room once more.
        for (int full = 0; full < 5;)
        {
            int now = socket.Send(data, 0, data.Length, SocketFlags.None, out SocketError error);
            sent += error == SocketError.Success ? now : 0;
            if (error != SocketError.Success)
            {
                Assert.Equal(SocketError.WouldBlock, error);
                full++;
                await Task.Delay(20);
            }
        }

        return sent;
    }
}
