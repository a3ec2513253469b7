using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What a test does with a plain socket.</summary>
internal static class Net
{
    /// <summary>More bytes than the kernel takes for a slow client: see <see cref="ConnectionPair.CreateAsync"/>.</summary>
    public const int MoreThanTheKernelHolds = 16 * 1024 * 1024;

    public static IPEndPoint AnyLoopbackPort => new(IPAddress.Loopback, 0);

    public static string NewUnixPath() => Path.Combine(Path.GetTempPath(), $"ket-{Guid.NewGuid():N}.sock");

    public static UnixDomainSocketEndPoint NewAbstractEndPoint() => new($"\0ket-{Guid.NewGuid():N}");

    /// <summary>Where a test that runs over both kinds of socket listens.</summary>
    public static EndPoint NewEndPoint(bool unix) => unix ? NewAbstractEndPoint() : AnyLoopbackPort;

    public static Socket CreateClient(EndPoint endpoint) => endpoint is UnixDomainSocketEndPoint
        ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        : new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

    public static async Task<Socket> ConnectAsync(EndPoint endpoint)
    {
        Socket client = CreateClient(endpoint);
        await client.ConnectAsync(endpoint).OrTimeout();
        return client;
    }

    public static Task SendAsync(this Socket socket, string text) => socket.SendAllAsync(Encoding.ASCII.GetBytes(text));

    public static async Task SendAllAsync(this Socket socket, ReadOnlyMemory<byte> data)
    {
        while (!data.IsEmpty)
        {
            data = data[await socket.SendAsync(data).OrTimeout()..];
        }
    }

    public static async Task<byte[]> ReceiveExactlyAsync(this Socket socket, int count)
    {
        byte[] data = new byte[count];
        int received = 0;
        while (received < count)
        {
            int now = await socket.ReceiveAsync(data.AsMemory(received)).OrTimeout();
            Assert.True(now > 0, $"The stream ended after {received} of {count} bytes.");
            received += now;
        }

        return data;
    }

    public static async Task<string> ReceiveTextAsync(this Socket socket, int count) =>
        Encoding.ASCII.GetString(await socket.ReceiveExactlyAsync(count));

    /// <summary>Receives up to a clean end of the stream; a reset throws.</summary>
    public static async Task<byte[]> ReceiveToEndAsync(this Socket socket)
    {
        using var all = new MemoryStream();
        byte[] buffer = new byte[256 * 1024];
        while (await socket.ReceiveAsync(buffer).OrTimeout() is var count and > 0)
        {
            all.Write(buffer, 0, count);
        }

        return all.ToArray();
    }

    public static async Task<string> ReceiveTextToEndAsync(this Socket socket) =>
        Encoding.ASCII.GetString(await socket.ReceiveToEndAsync());

    public static async Task AssertResetAsync(this Socket socket)
    {
        SocketException error = await Assert.ThrowsAsync<SocketException>(socket.ReceiveToEndAsync);
        Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
    }

    /// <summary>Closes with RST instead of FIN.</summary>
    public static void Reset(this Socket socket)
    {
        socket.LingerState = new LingerOption(enable: true, seconds: 0);
        socket.Dispose();
    }

    /// <summary>For what only a look can tell: looks until it holds.</summary>
    public static async Task UntilAsync(Func<bool> holds, [CallerArgumentExpression(nameof(holds))] string? what = null)
    {
        long deadlineMs = Environment.TickCount64 + (long)Timeouts.Limit.TotalMilliseconds;
        while (!holds())
        {
            Assert.True(Environment.TickCount64 < deadlineMs, $"'{what}' did not become true within {Timeouts.Limit.TotalSeconds} s.");
            await Task.Delay(10);
        }
    }

    /// <summary>Compares without printing megabytes.</summary>
    public static void AssertSame(byte[] expected, byte[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.Equal(expected.Length, expected.AsSpan().CommonPrefixLength(actual));
    }

    /// <summary>Bytes that show where they belong: a lost, doubled or swapped range is never equal.</summary>
    public static byte[] Pattern(int length)
    {
        byte[] data = new byte[length];
        new Random(length).NextBytes(data);
        return data;
    }
}
