using System.Globalization;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>How Kestrel's connections end over the transport: refusals, hang-ups, garbage, shutdown.</summary>
public class HttpConnectionEndTests
{
    private const int UnreadBody = 300_000;

    [Theory, AllTransports]
    public async Task Refusal_BodyTooLarge_ArrivesWholeThenEof(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind,
            async context => await context.Request.Body.CopyToAsync(Stream.Null),
            l => l.KestrelServerOptions.Limits.MaxRequestBodySize = 1000);

        await AssertRefusedAsync(host, $"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {UnreadBody}\r\n\r\n", "413");
    }

    [Theory, AllTransports]
    public async Task Refusal_BadRequestLine_ArrivesWholeThenEof(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context => context.Response.WriteAsync("never"));

        await AssertRefusedAsync(host, "POST / HTTP/1.1\r\nHost: x\r\nBad Header : x\r\n\r\n", "400");
    }

    [Theory, AllTransports]
    public async Task Garbage_AndHalfRequests_StayCalmAndOthersGoOn(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context => context.Response.WriteAsync("fine"));
        using HttpClient good = host.CreateClient();
        Assert.Equal("fine", await good.GetStringAsync(host.Address).OrTimeout());

        for (int i = 0; i < 20; i++)
        {
            await SendNonsenseAsync(host, i);
            Assert.Equal("fine", await good.GetStringAsync(host.Address).OrTimeout());
        }

        host.AssertTransportWasCalm();
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task HangUp_DuringARequest_AbortsItAndOthersGoOn(TransportKind kind, bool reset)
    {
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var aborted = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using KestrelHost host = await KestrelHost.StartAsync(kind, async context =>
        {
            if (context.Request.Path == "/hang")
            {
                context.RequestAborted.Register(aborted.SetResult);
                entered.SetResult();
                await aborted.Task;
                return;
            }

            await context.Response.WriteAsync("fine");
        });
        Socket client = await host.ConnectAsync();
        await client.SendAsync("GET /hang HTTP/1.1\r\nHost: x\r\n\r\n");
        await entered.Task.OrTimeout();

        if (reset)
        {
            client.Reset();
        }
        else
        {
            client.Dispose();
        }

        await aborted.Task.OrTimeout();
        using HttpClient good = host.CreateClient();
        Assert.Equal("fine", await good.GetStringAsync(host.Address).OrTimeout());
        host.AssertTransportWasCalm();
    }

    [Theory, AllTransports]
    public async Task HangUp_IdleKeepAliveHalfClosed_GetsFin(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context => context.Response.WriteAsync("fine"));
        using Socket client = await host.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await ReceiveUntilAsync(client, "fine\r\n0\r\n\r\n");

        client.Shutdown(SocketShutdown.Send);

        Assert.Empty(await client.ReceiveToEndAsync());
    }

    [Theory, AllTransports]
    public async Task RequestThenHalfClose_AtOnce_IsNeverReset(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context => context.Response.WriteAsync("fine"));
        using Socket client = await host.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        client.Shutdown(SocketShutdown.Send);

        // Kestrel aborts gracefully when it sees the FIN first: then the answer is missing, but nothing is torn.
        string response = await client.ReceiveTextToEndAsync();
        Assert.True(response.Length == 0 || response.Contains("fine", StringComparison.Ordinal), response);
        host.AssertTransportWasCalm();
    }

    [Theory, AllTransports]
    public async Task AbortOfARequest_ResetsItsClientOnly(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context =>
        {
            if (context.Request.Path == "/abort")
            {
                context.Abort();
                return Task.CompletedTask;
            }

            return context.Response.WriteAsync("fine");
        });
        using Socket client = await host.ConnectAsync();

        await client.SendAsync("GET /abort HTTP/1.1\r\nHost: x\r\n\r\n");

        await client.AssertResetAsync();
        using HttpClient good = host.CreateClient();
        Assert.Equal("fine", await good.GetStringAsync(host.Address).OrTimeout());
    }

    [Theory, AllTransports]
    public async Task Stop_WithAHungRequest_AbortsItAndSurvivesItsLateEnd(TransportKind kind)
    {
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var left = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using KestrelHost host = await KestrelHost.StartAsync(kind, async context =>
        {
            entered.SetResult();
            await release.Task;
            try
            {
                await context.Response.WriteAsync("too late");
            }
            finally
            {
                left.SetResult();
            }
        });
        using Socket client = await host.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await entered.Task.OrTimeout();

        using var soon = new CancellationTokenSource(TimeSpan.FromMilliseconds(300));
        await host.App.StopAsync(soon.Token).OrTimeout();

        await client.AssertResetAsync();
        // The connection outlives its listener: its handler ends only now.
        release.SetResult();
        await left.Task.OrTimeout();
        host.AssertTransportWasCalm();
    }

    [Theory, AllTransports]
    public async Task Stop_WithIdleConnections_ClosesThemWithFin(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context => context.Response.WriteAsync("fine"));
        using Socket client = await host.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await ReceiveUntilAsync(client, "fine\r\n0\r\n\r\n");

        await host.App.StopAsync().OrTimeout();

        Assert.Empty(await client.ReceiveToEndAsync());
        SocketException error = await Assert.ThrowsAsync<SocketException>(host.ConnectAsync);
        Assert.Equal(SocketError.ConnectionRefused, error.SocketErrorCode);
    }

    internal static async Task<string> ReceiveUntilAsync(Socket client, string end)
    {
        string text = string.Empty;
        while (!text.EndsWith(end, StringComparison.Ordinal))
        {
            text += await client.ReceiveTextAsync(1);
        }

        return text;
    }

    private static async Task AssertRefusedAsync(KestrelHost host, string head, string status)
    {
        // A close with unread data in the kernel is a reset, and takes the response with it: once is luck.
        for (int i = 0; i < 20; i++)
        {
            using Socket client = await host.ConnectAsync();
            await client.SendAsync(head);
            await client.SendAllAsync(new byte[UnreadBody]);
            string response = await client.ReceiveTextToEndAsync();
            Assert.StartsWith($"HTTP/1.1 {status} ", response, StringComparison.Ordinal);
            Assert.EndsWith("\r\n\r\n", response, StringComparison.Ordinal);
        }

        host.AssertTransportWasCalm();
    }

    private static async Task SendNonsenseAsync(KestrelHost host, int variant)
    {
        Socket client = await host.ConnectAsync();
        switch (variant % 5)
        {
            case 0:
                await client.SendAllAsync(Net.Pattern(5000 + variant));
                break;
            case 1:
                await client.SendAsync("GET / HT");
                break;
            case 2:
                await client.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nshort");
                break;
            case 3:
                await client.SendAsync(string.Create(CultureInfo.InvariantCulture, $"{new string('x', 100_000)}\r\n"));
                break;
            default:
                break;
        }

        if (variant % 2 == 0)
        {
            client.Reset();
        }
        else
        {
            client.Dispose();
        }
    }
}
