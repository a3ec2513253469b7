using System.Buffers;
using System.Net.Sockets;
using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>How much of what is queued one call offers to the kernel.</summary>
public class SendQueueTests
{
    /// <summary>Linux puts no less into one message of a unix socket. Between two messages of one call it would forget a reset.</summary>
    private const int Message = 32 * 1024;
    private const int Queued = (3 * Message) + 1000;

    /// <remarks>A reset that comes between two messages is too rare to wait for: what is looked at is that there are never two.</remarks>
    [Theory]
    [InlineData(4 * 1024)]
    [InlineData(Queued)]
    public void SendOnce_ToAUnixSocket_SendsOneMessageAtMost(int blockSize)
    {
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(Wire.Unix.NewEndPoint());
        listener.Listen(1);
        using Socket peer = Wire.Unix.ConnectTo(listener.LocalEndPoint!);
        using Socket ours = listener.Accept();
        using BlockSource blocks = new(MemoryPool<byte>.Shared);
        SendQueue queue = default;
        for (int left = Queued; left > 0; left -= blockSize)
        {
            queue.Append(blocks.Rent(blockSize));
            Assert.True(queue.TryAdvance(Math.Min(left, blockSize)));
        }

        queue.Commit();

        foreach (int expected in (int[])[Message, Message, Message, 1000])
        {
            IoResult sent = queue.SendOnce((int)ours.Handle, isTcp: false, out bool tookAll);
            Assert.Equal((expected, true), (sent.Value, tookAll));
            Assert.Equal(expected, peer.ReceiveAll(new byte[expected]));
        }

        Assert.Equal(0, queue.Unsent);
        SendQueue.Release(queue.TakeSpent(all: true, out BufferSegment? end), end);
    }
}
