using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using KestrelEpollTransport.LoadShedding;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests.LoadShedding;

/// <summary>Whole servers of which too much is asked.</summary>
[Collection(RunsAlone.Name)]
public class LoadSheddingTests
{
    private const string Request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    /// <summary>Each waits for all others: 32 ms at least, on two processors.</summary>
    private const int Clients = 64;

    [Theory, EpollTransports("Sockets tells no delays.")]
    public async Task Overload_IsAnswered503_ButNotWhatIsExempt_UntilItIsOver(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind);
        using var stop = new CancellationTokenSource();
        var refusal = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var servedByNow = new StrongBox<int>();
        Task<int>[] clients = [.. Enumerable.Range(0, Clients).Select(_ => AskAgainAndAgainAsync(host, refusal, stop.Token, servedByNow: servedByNow))];

        string refused = await refusal.Task.OrTimeout();
        using (HttpClient health = host.CreateClient())
        {
            for (int i = 0; i < 10; i++)
            {
                Assert.Equal("served", await health.GetStringAsync(new Uri("/health", UriKind.Relative)).OrTimeout());
            }
        }

        // Overloaded, it goes on serving.
        int more = Volatile.Read(ref servedByNow.Value) + Clients;
        await Task.Run(async () =>
        {
            while (Volatile.Read(ref servedByNow.Value) < more)
            {
                await Task.Delay(1);
            }
        }).OrTimeout();
        await stop.CancelAsync();
        await Task.WhenAll(clients).OrTimeout();

        Assert.Contains("\r\nRetry-After: 1\r\n", refused, StringComparison.Ordinal);
        Assert.Contains("\r\nContent-Length: 0\r\n", refused, StringComparison.Ordinal);
        await AssertServesAsync(host);
        LogEntry warning = Assert.Single(host.Logs.All(), static entry => entry.Category == LoadSheddingLog.Category && entry.Level > LogLevel.Debug);
        Assert.Equal((80, LogLevel.Warning), (warning.Id, warning.Level));
    }

    [Theory, InlineData(TransportKind.Sockets)]
    public async Task Overload_OfATransportThatTellsNoDelays_IsServed(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind);
        using var stop = new CancellationTokenSource();
        var refusal = new TaskCompletionSource<string>();
        Task<int>[] clients = [.. Enumerable.Range(0, Clients).Select(_ => AskAgainAndAgainAsync(host, refusal, stop.Token, requests: 20))];

        Assert.All(await Task.WhenAll(clients).OrTimeout(), static served => Assert.Equal(20, served));
        Assert.False(refusal.Task.IsCompleted);
    }

    private static Task<KestrelHost> StartAsync(TransportKind kind) => KestrelHost.StartAsync(kind, static app =>
    {
        app.UseLoadShedding(static options => options.Exempt = static http => http.Request.Path == "/health");
        app.Run(static http =>
        {
            if (http.Request.Path == "/")
            {
                Compute();
            }

            http.Response.ContentLength = "served".Length;
            return http.Response.WriteAsync("served");
        });
    });

    private static void Compute()
    {
        long began = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(began).TotalMilliseconds < 1)
        {
        }
    }

    // Returns how many were served.
    private static async Task<int> AskAgainAndAgainAsync(KestrelHost host, TaskCompletionSource<string> refusal, CancellationToken stop, int requests = int.MaxValue, StrongBox<int>? servedByNow = null)
    {
        int served = 0;
        using Socket client = await host.ConnectAsync();
        byte[] buffer = new byte[1024];
        for (int asked = 0; asked < requests && !stop.IsCancellationRequested; asked++)
        {
            await client.SendAsync(Request);
            int received = 0;
            string answer;
            do
            {
                int more = await client.ReceiveAsync(buffer.AsMemory(received)).OrTimeout();
                Assert.True(more > 0, "The connection was closed.");
                received += more;
                answer = Encoding.ASCII.GetString(buffer, 0, received);
            }
            while (!answer.EndsWith("\r\n\r\n", StringComparison.Ordinal) && !answer.EndsWith("served", StringComparison.Ordinal));

            if (answer.StartsWith("HTTP/1.1 503 ", StringComparison.Ordinal))
            {
                refusal.TrySetResult(answer);
            }
            else
            {
                Assert.StartsWith("HTTP/1.1 200 ", answer, StringComparison.Ordinal);
                served++;
                if (servedByNow is not null)
                {
                    Interlocked.Increment(ref servedByNow.Value);
                }
            }
        }

        return served;
    }

    // Whoever comes alone does not wait, but where the machine is busy with something else.
    private static async Task AssertServesAsync(KestrelHost host)
    {
        using HttpClient client = host.CreateClient();
        long began = Stopwatch.GetTimestamp();
        bool isServed;
        do
        {
            using HttpResponseMessage answer = await client.GetAsync(host.Address).OrTimeout();
            isServed = answer.IsSuccessStatusCode;
        }
        while (!isServed && Stopwatch.GetElapsedTime(began) < Timeouts.Limit);

        Assert.True(isServed);
    }
}
