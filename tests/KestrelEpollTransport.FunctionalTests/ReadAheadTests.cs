using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What is taken of a client before the application reads it: up to <c>MaxReadBufferSize</c>, and above it whole blocks.</summary>
public class ReadAheadTests
{
    private const int MiB = 1024 * 1024;

    [Theory]
    [AllTransports(Wire.Tcp, 5L * MiB, 5 * MiB), AllTransports(Wire.Tcp, 100L * MiB, 10 * MiB), AllTransports(Wire.Tcp, null, 10 * MiB)]
    [AllTransports(Wire.Unix, 5L * MiB, 5 * MiB), AllTransports(Wire.Unix, 100L * MiB, 10 * MiB), AllTransports(Wire.Unix, null, 10 * MiB)]
    public async Task Upload_BeforeTheHandlerReads_IsTakenUpToTheBound(TransportKind kind, Wire wire, long? bound, int size)
    {
        var read = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using WireHost host = await WireHost.StartAsync(
            kind,
            async context =>
            {
                await read.Task;
                await AnswerLengthAsync(context);
            },
            UnlimitBody,
            builder => WireHost.SetMaxReadBufferSize(builder, bound));
        using Socket client = await host.ConnectAsync(wire);
        // What the kernel would take for the client is not what is tested.
        client.SendBufferSize = 64 * 1024;

        await client.SendAsync(Post(size));
        await client.SendAllAsync(new byte[size]);

        read.SetResult();
        Assert.EndsWith($"\r\n\r\n{size}", await client.ReceiveTextToEndAsync(), StringComparison.Ordinal);
    }

    [Theory, AllTransports(Wire.Tcp), AllTransports(Wire.Unix)]
    public async Task Upload_WithATinyBound_TakesBlocks(TransportKind kind, Wire wire)
    {
        const int Size = 5 * MiB;
        await using WireHost host = await WireHost.StartAsync(
            kind, AnswerLengthAsync, UnlimitBody, builder => WireHost.SetMaxReadBufferSize(builder, 35));
        using Socket client = await host.ConnectAsync(wire);

        await client.SendAsync(Post(Size));
        await client.SendAllAsync(new byte[Size]);

        Assert.EndsWith($"\r\n\r\n{Size}", await client.ReceiveTextToEndAsync(), StringComparison.Ordinal);
        // A pause and a resumption for each block of 4 KiB are 512 lines a mebibyte.
        int lines = host.Host.Logs.Of(kind).Count(e => e.Level >= LogLevel.Debug);
        Assert.InRange(lines, 0, 1000 * (Size / MiB));
    }

    /// <remarks>
    /// 1 MiB is received ahead, the head of the request included, and the kernel holds more of TCP. Of a unix socket it wakes a sender that
    /// waits when only one of its pieces (36 KB) is left, which need not be: no more than the 1 MiB then. How much of it Sockets takes on a
    /// unix socket is a race: it stops at 1 MiB and goes on at half.
    /// </remarks>
    [Theory, AllTransports(Wire.Tcp, 1100), AllTransports(Wire.Unix, 1000)]
    public async Task Echo_OfAClientThatSendsAllBeforeItReads_Completes(TransportKind kind, Wire wire, int kibibytes)
    {
        byte[] body = Net.Pattern((kind.IsOurs() ? kibibytes : 500) * 1024);
        await using WireHost host = await WireHost.StartAsync(kind, async context =>
        {
            context.Response.ContentLength = body.Length;
            await context.Request.Body.CopyToAsync(context.Response.Body);
        });

        await AssertAnsweredAfterAllIsSentAsync(host, wire, body, body);
    }

    [Theory, AllTransports(Wire.Tcp, 3500), AllTransports(Wire.Unix, 1000)]
    public async Task Answer_WrittenBeforeABodyThatIsSentFirst_Completes(TransportKind kind, Wire wire, int kibibytes)
    {
        byte[] body = new byte[kibibytes * 1024];
        byte[] answer = Net.Pattern(8_000_000);
        await using WireHost host = await WireHost.StartAsync(kind, async context =>
        {
            context.Response.ContentLength = answer.Length;
            await context.Response.Body.WriteAsync(answer);
            Assert.Equal(body.Length, await CountBodyAsync(context));
        });

        await AssertAnsweredAfterAllIsSentAsync(host, wire, body, answer);
    }

    private static async Task AssertAnsweredAfterAllIsSentAsync(WireHost host, Wire wire, byte[] body, byte[] expected)
    {
        // One that blocks: one that is told when it may send is told so when three quarters of a unix socket's buffer are free.
        using Socket client = host.Connect(wire);
        await Task.Run(() => client.Send([.. Encoding.ASCII.GetBytes(Post(body.Length)), .. body])).OrTimeout();

        byte[] response = await client.ReceiveToEndAsync();
        int head = response.AsSpan().IndexOf("\r\n\r\n"u8) + 4;
        Assert.StartsWith("HTTP/1.1 200 OK\r\n", Encoding.ASCII.GetString(response, 0, head), StringComparison.Ordinal);
        Net.AssertSame(expected, response[head..]);
    }

    private static string Post(int length) =>
        string.Create(CultureInfo.InvariantCulture, $"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");

    private static void UnlimitBody(ListenOptions listen) =>
        listen.KestrelServerOptions.Limits.MaxRequestBodySize = null;

    private static async Task AnswerLengthAsync(HttpContext context)
    {
        string length = (await CountBodyAsync(context)).ToString(CultureInfo.InvariantCulture);
        context.Response.ContentLength = length.Length;
        await context.Response.WriteAsync(length);
    }

    private static async Task<int> CountBodyAsync(HttpContext context)
    {
        byte[] buffer = new byte[64 * 1024];
        int bytes = 0;
        while (await context.Request.Body.ReadAsync(buffer) is var read and > 0)
        {
            bytes += read;
        }

        return bytes;
    }
}
