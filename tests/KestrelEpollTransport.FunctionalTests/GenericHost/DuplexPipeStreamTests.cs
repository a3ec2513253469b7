using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests.GenericHost;

/// <summary>The two pipes of a connection as one stream.</summary>
public class DuplexPipeStreamTests
{
    [Theory, AllTransports]
    public async Task Read_IntoLessThanThereIs_LeavesTheRest(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Stream stream = pair.Server.Transport.AsStream();
        await pair.Client.SendAsync("hello, world");
        pair.Client.Shutdown(SocketShutdown.Send);

        Assert.Equal("hel", await ReadAsync(stream, 3));

        // What is left is given without more having to come; then the end, as often as it is asked for.
        Assert.Equal("lo, world", await ReadAsync(stream, 9));
        Assert.Equal(0, await stream.ReadAsync(new byte[1]).OrTimeout());
        Assert.Equal(0, await stream.ReadAsync(new byte[1]).OrTimeout());
    }

    [Theory, AllTransports]
    public async Task Read_OfNoBytes_WaitsForSomeAndTakesNone(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Stream stream = pair.Server.Transport.AsStream();

        Task<int> read = stream.ReadAsync(Memory<byte>.Empty).AsTask();

        Assert.False(read.IsCompleted);
        await pair.Client.SendAsync("x");
        Assert.Equal(0, await read.OrTimeout());
        Assert.Equal(0, await stream.ReadAsync(Memory<byte>.Empty).OrTimeout());
        Assert.Equal("x", await ReadAsync(stream, 1));
    }

    [Theory, AllTransports]
    public async Task Read_ThatIsCancelled_TakesNothing(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Stream stream = pair.Server.Transport.AsStream();
        using var cancelled = new CancellationTokenSource();
        Task<int> read = stream.ReadAsync(new byte[10], cancelled.Token).AsTask();

        await cancelled.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.OrTimeout());
        await pair.Client.SendAsync("hello");
        Assert.Equal("hello", await ReadAsync(stream, 5));
    }

    [Theory, AllTransports]
    public async Task Write_BesideARead_GoesOn(TransportKind kind)
    {
        byte[] data = Net.Pattern(Net.MoreThanTheKernelHolds);
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, slowClient: true);
        Stream stream = pair.Server.Transport.AsStream();
        Task<int> read = stream.ReadAsync(new byte[10]).AsTask();

        // It waits, as the client does not read; the read beside it does not.
        Task write = stream.WriteAsync(data).AsTask();
        Assert.False(write.IsCompleted);
        await pair.Client.SendAsync("y");
        Assert.Equal(1, await read.OrTimeout());

        Net.AssertSame(data, await pair.Client.ReceiveExactlyAsync(data.Length));
        await write.OrTimeout();
    }

    [Theory, AllTransports]
    public async Task Write_ToAClientThatHasReset_Throws(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Stream stream = pair.Server.Transport.AsStream();

        pair.Client.Reset();
        await pair.Closed.OrTimeout();

        // Sockets takes some before it knows.
        await Assert.ThrowsAsync<ConnectionResetException>(async () =>
        {
            for (int i = 0; i < 1_000; i++)
            {
                await stream.WriteAsync(new byte[1]).OrTimeout();
                await Task.Delay(1);
            }
        });
    }

    [Theory, AllTransports]
    public async Task SynchronousCalls_WithNothingToWaitFor_Work(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Stream stream = pair.Server.Transport.AsStream();
        await pair.Client.SendAsync("abc");
        Assert.Equal(0, await stream.ReadAsync(Memory<byte>.Empty).OrTimeout());

        Assert.Equal('a', stream.ReadByte());
        byte[] rest = new byte[10];
        Assert.Equal(1, stream.Read(rest, 1, 1));
        Assert.Equal(1, stream.Read(rest.AsSpan(2)));
        stream.Write(rest, 1, 1);
        stream.Write(rest.AsSpan(2, 1));
        stream.WriteByte((byte)'!');
        stream.Flush();

        Assert.Equal("bc!", await pair.Client.ReceiveTextAsync(3));
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Dispose_CompletesBothPipes_WhenAllIsSent(TransportKind kind, bool isAsync)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Stream stream = pair.Server.Transport.AsStream();
        await stream.WriteAsync("bye"u8.ToArray()).OrTimeout();

        if (isAsync)
        {
            await stream.DisposeAsync().OrTimeout();
        }
        else
        {
            stream.Dispose();
        }

        stream.Dispose();
        Assert.Equal("bye", await pair.Client.ReceiveTextToEndAsync());
        Assert.False(stream.CanRead || stream.CanWrite || stream.CanSeek || stream.CanTimeout);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => stream.ReadAsync(new byte[1]).AsTask());
        await Assert.ThrowsAsync<ObjectDisposedException>(() => stream.WriteAsync(new byte[1]).AsTask());
        await Assert.ThrowsAsync<ObjectDisposedException>(() => stream.FlushAsync());
        Assert.Throws<InvalidOperationException>(() => pair.Input.TryRead(out _));
    }

    [Theory, AllTransports]
    public async Task CopyTo_AStream_TakesAllUpToTheEnd(TransportKind kind)
    {
        byte[] data = Net.Pattern(1024 * 1024);
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Stream stream = pair.Server.Transport.AsStream();
        using var copy = new MemoryStream();

        Task copying = stream.CopyToAsync(copy);
        await pair.Client.SendAllAsync(data);
        pair.Client.Shutdown(SocketShutdown.Send);

        await copying.OrTimeout();
        Net.AssertSame(data, copy.ToArray());
    }

    private static async Task<string> ReadAsync(Stream stream, int count)
    {
        byte[] text = new byte[count];
        await stream.ReadExactlyAsync(text).OrTimeout();
        return Encoding.ASCII.GetString(text);
    }
}
