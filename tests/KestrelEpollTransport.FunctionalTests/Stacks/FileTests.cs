using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.FileProviders;

namespace KestrelEpollTransport.FunctionalTests.Stacks;

/// <summary>Files as answers: SendFile, and static files with ranges.</summary>
public sealed class FileTests : IDisposable
{
    private const int Size = 3 * 1024 * 1024 + 17;
    private const string Name = "file.bin";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("ket-");
    private readonly byte[] _content = Net.Pattern(Size);

    public FileTests() => File.WriteAllBytes(PathOf(Name), _content);

    [Theory]
    [AllTransports(false), AllTransports(true)]
    public async Task SendFile_WholeAndInPart_ArrivesBehindWhatWasWritten(TransportKind kind, bool http2Tls)
    {
        const int Offset = 1_000_001;
        const int Count = 1_500_001;
        await using KestrelHost host = await StartAsync(kind, http2Tls, app => app.Run(async context =>
        {
            await context.Response.Body.WriteAsync(new byte[] { 1, 2, 3 });
            await context.Response.SendFileAsync(PathOf(Name), Offset, Count);
            await context.Response.SendFileAsync(PathOf(Name));
        }));
        using HttpClient client = host.CreateClient(http2Tls ? HttpVersion.Version20 : HttpVersion.Version11);

        for (int i = 0; i < 2; i++)
        {
            byte[] answer = await client.GetByteArrayAsync(host.Address).OrTimeout();
            Net.AssertSame([1, 2, 3, .. _content.AsSpan(Offset, Count), .. _content], answer);
        }

        host.AssertTransportWasCalm();
    }

    [Theory]
    [AllTransports(false), AllTransports(true)]
    public async Task StaticFile_WithARange_IsAnsweredInPart(TransportKind kind, bool http2Tls)
    {
        await using KestrelHost host = await StartAsync(kind, http2Tls, app => app.UseStaticFiles(
            new StaticFileOptions { FileProvider = new PhysicalFileProvider(_folder.FullName) }));
        using HttpClient client = host.CreateClient(http2Tls ? HttpVersion.Version20 : HttpVersion.Version11);
        var address = new Uri("/" + Name, UriKind.Relative);

        Net.AssertSame(_content, await client.GetByteArrayAsync(address).OrTimeout());
        await AssertPartAsync(0, 0);
        await AssertPartAsync(1_000_000, 2_999_999);
        await AssertPartAsync(Size - 5, null);
        await AssertPartAsync(null, 70_000);

        using HttpResponseMessage beyond = await GetAsync(new RangeHeaderValue(Size, null));
        Assert.Equal(HttpStatusCode.RequestedRangeNotSatisfiable, beyond.StatusCode);

        using var head = new HttpRequestMessage(HttpMethod.Head, address);
        using HttpResponseMessage headers = await client.SendAsync(head).OrTimeout();
        Assert.Equal(Size, headers.Content.Headers.ContentLength);
        using var known = new HttpRequestMessage(HttpMethod.Get, address);
        known.Headers.IfNoneMatch.Add(headers.Headers.ETag!);
        using HttpResponseMessage unchanged = await client.SendAsync(known).OrTimeout();
        Assert.Equal(HttpStatusCode.NotModified, unchanged.StatusCode);
        host.AssertTransportWasCalm();

        async Task AssertPartAsync(long? from, long? to)
        {
            var range = new RangeHeaderValue(from, to);
            (int start, int length) = from is { } first
                ? ((int)first, (int)((to ?? Size - 1) - first + 1))
                : (Size - (int)to!, (int)to);
            using HttpResponseMessage answer = await GetAsync(range);
            Assert.Equal(HttpStatusCode.PartialContent, answer.StatusCode);
            Assert.Equal($"bytes {start}-{start + length - 1}/{Size}", answer.Content.Headers.ContentRange!.ToString());
            Net.AssertSame(_content.AsSpan(start, length).ToArray(), await answer.Content.ReadAsByteArrayAsync().OrTimeout());
        }

        Task<HttpResponseMessage> GetAsync(RangeHeaderValue range)
        {
            var request = new HttpRequestMessage(HttpMethod.Get, address);
            request.Headers.Range = range;
            return client.SendAsync(request).OrTimeout();
        }
    }

    [Theory, AllTransports]
    public async Task SendFile_ToAClientThatGoesAway_Ends(TransportKind kind)
    {
        using (FileStream large = File.Create(PathOf("large")))
        {
            // Zeros that take no space.
            large.SetLength(4L * Net.MoreThanTheKernelHolds);
        }

        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using KestrelHost host = await StartAsync(kind, http2Tls: false, app => app.Run(async context =>
        {
            try
            {
                await context.Response.SendFileAsync(PathOf("large"), context.RequestAborted);
            }
            finally
            {
                ended.TrySetResult();
            }
        }));
        using Socket client = await host.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await client.ReceiveExactlyAsync(100_000);

        client.Reset();

        await ended.Task.OrTimeout();
        host.AssertTransportWasCalm();
    }

    public void Dispose() => _folder.Delete(recursive: true);

    private static Task<KestrelHost> StartAsync(TransportKind kind, bool http2Tls, Action<WebApplication> pipeline) =>
        KestrelHost.StartAsync(kind, pipeline, http2Tls ? KestrelHost.UseTls : static listen => listen.Protocols = HttpProtocols.Http1);

    private string PathOf(string name) => Path.Combine(_folder.FullName, name);
}
