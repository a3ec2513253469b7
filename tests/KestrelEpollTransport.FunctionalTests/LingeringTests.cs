using System.Diagnostics;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>How long a closed connection still takes what its client sends: only while an answer could be lost.</summary>
public class LingeringTests
{
    private const string ResetsAtOnce = "Sockets closes with data unread, and that resets the answer away";
    private const string Get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    private static readonly TimeSpan s_soon = TimeSpan.FromSeconds(1);

    [Theory, AllTransports]
    public async Task IdleTimeout_ClientOnlyWrites_FailsSoon(TransportKind kind)
    {
        await using WireHost host = await WireHost.StartAsync(
            kind,
            context => context.Response.WriteAsync("fine"),
            l => l.KestrelServerOptions.Limits.KeepAliveTimeout = TimeSpan.FromMilliseconds(100));
        using Socket tcp = await host.ConnectAsync(Wire.Tcp);
        using Socket unix = await host.ConnectAsync(Wire.Unix);
        await tcp.SendAsync(Get);
        await unix.SendAsync(Get);
        await host.WaitForEndsAsync(2);

        await AssertWritesFailSoonAsync(tcp);
        await AssertWritesFailSoonAsync(unix);
    }

    [Theory, EpollTransports(ResetsAtOnce, Wire.Tcp), EpollTransports(ResetsAtOnce, Wire.Unix)]
    public async Task Refusal_WhileTheUploadGoesOn_StillReachesItsClient(TransportKind kind, Wire wire)
    {
        // All of it is below MaxReadBufferSize, which is as much as is ignored for the sake of an answer.
        byte[] piece = new byte[64 * 1024];
        const int Pieces = 12;
        await using WireHost host = await WireHost.StartAsync(
            kind,
            async context => await context.Request.Body.CopyToAsync(Stream.Null),
            l => l.KestrelServerOptions.Limits.MaxRequestBodySize = 1000);
        using Socket client = await host.ConnectAsync(wire);

        await client.SendAsync($"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {piece.Length * Pieces}\r\n\r\n");
        for (int i = 0; i < Pieces; i++)
        {
            await client.SendAllAsync(piece);
            await Task.Delay(2);
        }

        string answer = await client.ReceiveTextToEndAsync();
        Assert.StartsWith("HTTP/1.1 413 ", answer, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n", answer, StringComparison.Ordinal);
        host.Host.AssertTransportWasCalm();
    }

    private static async Task AssertWritesFailSoonAsync(Socket client)
    {
        long start = Stopwatch.GetTimestamp();
        SocketException error = await Assert.ThrowsAsync<SocketException>(async () =>
        {
            while (Stopwatch.GetElapsedTime(start) < s_soon)
            {
                await client.SendAsync("more of the log");
                await Task.Delay(10);
            }
        });
        // EPIPE or a reset, as the wire has it.
        Assert.Contains(error.SocketErrorCode, new[] { SocketError.Shutdown, SocketError.ConnectionReset });
    }
}
