using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.OutputCaching;
using Microsoft.AspNetCore.RateLimiting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>ASP.NET Core's own middleware that wraps, withholds, repeats or ends what an endpoint answers, over HTTP/1.1 and HTTP/2.</summary>
public class MiddlewareTests
{
    [Theory]
    [AllTransports(false, "br"), AllTransports(false, "gzip"), AllTransports(true, "br"), AllTransports(true, "gzip")]
    public async Task Compression_OfFlushedParts_SendsEachAtOnce(TransportKind kind, bool http2, string encoding)
    {
        const int Parts = 3;
        string part = string.Concat(Enumerable.Range(0, 10_000).Select(static i => $"{i} "));
        using var next = new SemaphoreSlim(0);
        await using KestrelHost host = await StartAsync(
            kind,
            http2,
            app =>
            {
                app.UseResponseCompression();
                app.Run(async context =>
                {
                    context.Response.ContentType = "text/plain";
                    for (int i = 0; i < Parts; i++)
                    {
                        await context.Response.WriteAsync(part);
                        await context.Response.Body.FlushAsync();
                        await next.WaitAsync(context.RequestAborted);
                    }
                });
            },
            static services => services.AddResponseCompression());
        using HttpClient client = CreateClient(host, http2);
        client.DefaultRequestHeaders.AcceptEncoding.Add(new StringWithQualityHeaderValue(encoding));

        using HttpResponseMessage answer = await client.GetAsync(host.Address, HttpCompletionOption.ResponseHeadersRead).OrTimeout();
        Assert.Equal(encoding, Assert.Single(answer.Content.Headers.ContentEncoding));
        Stream compressed = await answer.Content.ReadAsStreamAsync().OrTimeout();
        await using Stream plain = encoding == "br"
            ? new BrotliStream(compressed, CompressionMode.Decompress)
            : new GZipStream(compressed, CompressionMode.Decompress);
        byte[] received = new byte[part.Length];
        for (int i = 0; i < Parts; i++)
        {
            // The server goes on only when all of this has arrived.
            await plain.ReadExactlyAsync(received).OrTimeout();
            Assert.True(part == Encoding.ASCII.GetString(received), $"Part {i} is another one.");
            next.Release();
        }

        Assert.Equal(0, await plain.ReadAsync(received).OrTimeout());
        host.AssertTransportWasCalm();
    }

    [Theory]
    [AllTransports(false), AllTransports(true)]
    public async Task OutputCache_AskedByMany_AsksTheEndpointForFew(TransportKind kind, bool http2)
    {
        string body = new('x', 200_000);
        int answers = 0;
        await using KestrelHost host = await StartAsync(
            kind,
            http2,
            app =>
            {
                app.UseOutputCache();
                app.MapGet("/", async () =>
                {
                    int answer = Interlocked.Increment(ref answers);
                    await Task.Delay(1);
                    return $"{answer} {body}";
                }).CacheOutput(static policy => policy.Tag("all"));
            },
            static services => services.AddOutputCache());
        using HttpClient client = CreateClient(host, http2);

        // One answer for all who ask at the same moment, unless somebody looked for it just before it was there, and asked when it was.
        Assert.All(await AskAsync(), answer => Assert.EndsWith($" {body}", answer, StringComparison.Ordinal));
        int first = Volatile.Read(ref answers);
        Assert.InRange(first, 1, 19);
        Assert.All(await AskAsync(), answer => Assert.EndsWith($" {body}", answer, StringComparison.Ordinal));
        Assert.Equal(first, Volatile.Read(ref answers));

        await host.App.Services.GetRequiredService<IOutputCacheStore>().EvictByTagAsync("all", default).OrTimeout();
        Assert.All(await AskAsync(), answer => Assert.EndsWith($" {body}", answer, StringComparison.Ordinal));
        Assert.True(Volatile.Read(ref answers) > first);
        host.AssertTransportWasCalm();

        Task<string[]> AskAsync() => Task.WhenAll(Enumerable.Range(0, 20).Select(_ => client.GetStringAsync(host.Address))).OrTimeout();
    }

    [Theory]
    [AllTransports(false), AllTransports(true)]
    public async Task RateLimiter_BeyondItsQueue_RefusesAndLaterServes(TransportKind kind, bool http2)
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var limiter = new ConcurrencyLimiter(new ConcurrencyLimiterOptions { PermitLimit = 1, QueueLimit = 1 });
        await using KestrelHost host = await StartAsync(
            kind,
            http2,
            app =>
            {
                app.UseRateLimiter();
                app.Run(async context =>
                {
                    await release.Task;
                    await context.Response.WriteAsync("served");
                });
            },
            services => services.AddRateLimiter(options =>
            {
                options.RejectionStatusCode = StatusCodes.Status429TooManyRequests;
                options.GlobalLimiter = PartitionedRateLimiter.Create<HttpContext, int>(_ => RateLimitPartition.Get(0, _ => limiter));
            }));
        using HttpClient client = CreateClient(host, http2);

        Task<HttpResponseMessage> first = client.GetAsync(host.Address);
        await Net.UntilAsync(() => limiter.GetStatistics()!.CurrentAvailablePermits == 0);
        Task<HttpResponseMessage> queued = client.GetAsync(host.Address);
        await Net.UntilAsync(() => limiter.GetStatistics()!.CurrentQueuedCount == 1);
        Assert.Equal(HttpStatusCode.TooManyRequests, await StatusAsync(client.GetAsync(host.Address)));
        release.SetResult();

        Assert.Equal(HttpStatusCode.OK, await StatusAsync(first));
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(queued));
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(client.GetAsync(host.Address)));
        host.AssertTransportWasCalm();
    }

    [Theory]
    [AllTransports(false), AllTransports(true)]
    public async Task RequestTimeout_OfASlowEndpoint_IsAnsweredAndTheConnectionStays(TransportKind kind, bool http2)
    {
        await using KestrelHost host = await StartAsync(
            kind,
            http2,
            app =>
            {
                app.UseRequestTimeouts();
                app.MapGet("/slow", (HttpContext context) => WaitAsync(context)).WithRequestTimeout(TimeSpan.FromMilliseconds(50));
                app.MapGet("/", (HttpContext context) => context.Connection.Id);
            },
            static services => services.AddRequestTimeouts());
        using HttpClient client = CreateClient(host, http2);

        string connection = await client.GetStringAsync(host.Address).OrTimeout();
        Assert.Equal(HttpStatusCode.GatewayTimeout, await StatusAsync(client.GetAsync(new Uri("/slow", UriKind.Relative))));
        Assert.Equal(connection, await client.GetStringAsync(host.Address).OrTimeout());
        host.AssertTransportWasCalm();

        static async Task WaitAsync(HttpContext context) => await Task.Delay(Timeout.Infinite, context.RequestAborted);
    }

    private static async Task<HttpStatusCode> StatusAsync(Task<HttpResponseMessage> asking)
    {
        using HttpResponseMessage answer = await asking.OrTimeout();
        return answer.StatusCode;
    }

    private static HttpClient CreateClient(KestrelHost host, bool http2) =>
        host.CreateClient(http2 ? HttpVersion.Version20 : HttpVersion.Version11);

    private static Task<KestrelHost> StartAsync(
        TransportKind kind, bool http2, Action<WebApplication> pipeline, Action<IServiceCollection> addServices) => KestrelHost.StartAsync(
            kind,
            pipeline,
            listen => listen.Protocols = http2 ? HttpProtocols.Http2 : HttpProtocols.Http1,
            builder => addServices(builder.Services));
}
