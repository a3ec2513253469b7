using System.Globalization;
using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Connections;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>In which queue requests say that they have waited, and what connections learn of those that are refused.</summary>
[Collection(RunsAlone.Name)]
public sealed class RequestQueueTests : IDisposable
{
    /// <summary>More than it takes to come back to the loop, whatever was done before.</summary>
    private const int Many = 1_500;

    private readonly SemaphoreSlim _entered = new(0);
    private readonly SemaphoreSlim _release = new(0);

    public void Dispose()
    {
        _entered.Dispose();
        _release.Dispose();
    }

    [Theory, EpollTransports("Sockets tells no delays.")]
    public async Task Read_ThatIsServedBesideADispatch_HasNoDelay_AndNoQueue(TransportKind kind)
    {
        await using KestrelHost host = await StartAsync(kind, HttpProtocols.Http1);
        using Socket client = await host.ConnectAsync();
        using Socket other = await host.ConnectAsync();
        Answer answer = default;
        for (int i = 0; i < 20 && answer.Queue != IRequestQueue.Unknown; i++)
        {
            await client.SendAsync(Request("/await"));
            Assert.True(await _entered.WaitAsync(Timeouts.Limit), "The handler was not entered.");
            await client.SendAsync(Request("/"));

            // Nearly always the loop was told of the other request, too, when it has served this one.
            await other.SendAsync(Request("/"));
            await ReceiveAsync(other);
            _release.Release();
            Answer awaited = await ReceiveAsync(client);
            Assert.True(i > 0 || (awaited.Queue != IRequestQueue.Unknown && awaited.DelayMs > 0), $"{awaited}");
            answer = await ReceiveAsync(client);
        }

        Assert.Equal((IRequestQueue.Unknown, 0d), (answer.Queue, answer.DelayMs));
    }

    [Fact]
    public async Task Stream_OnThePool_WaitedInTheQueueOfItsConnection()
    {
        await using KestrelHost host = await StartAsync(TransportKind.EpollInline, HttpProtocols.Http2);
        using HttpClient client = host.CreateClient(HttpVersion.Version20);
        List<int> queues = [];
        for (int i = 0; i < 20; i++)
        {
            queues.Add((await AskAsync(client, "/")).Queue);
        }

        Assert.Contains(IRequestQueue.FirstLoop, queues);
        Assert.DoesNotContain(IRequestQueue.Pool, queues);
    }

    [Theory, InlineData(TransportKind.EpollAdaptive, HttpProtocols.Http1), InlineData(TransportKind.EpollContinuations, HttpProtocols.Http2)]
    public async Task Refusals_OfWhatBlocks_LeaveItOffTheLoop(TransportKind kind, HttpProtocols protocols)
    {
        await using KestrelHost host = await StartAsync(kind, protocols);
        using HttpClient client = host.CreateClient(protocols == HttpProtocols.Http2 ? HttpVersion.Version20 : HttpVersion.Version11);
        Assert.True(await AskUntilAsync(client, "/sleep", onLoop: false));

        Assert.False(await AskUntilAsync(client, "/refused", onLoop: true));
        Assert.True(await AskUntilAsync(client, "/", onLoop: true));
    }

    [Fact]
    public async Task Refusal_ByAnotherThread_IsNotThatOfTheDispatch()
    {
        await using KestrelHost host = await StartAsync(TransportKind.EpollInline, HttpProtocols.Http1);
        using HttpClient client = host.CreateClient();

        Assert.Equal("False, then True", await client.GetStringAsync(new Uri("/elsewhere", UriKind.Relative)).OrTimeout());
    }

    private Task<KestrelHost> StartAsync(TransportKind kind, HttpProtocols protocols) => KestrelHost.StartAsync(
        kind,
        app => app.Run(AnswerAsync),
        listen => listen.Protocols = protocols,
        static builder => builder.Services.Configure<EpollTransportOptions>(static options => options.LoopCount = 1));

    // Answers the queue, the delay in ms, and whether the loop's thread runs it.
    private async Task AnswerAsync(HttpContext http)
    {
        var connection = (EpollConnection)http.Features.GetRequiredFeature<IQueueingDelayFeature>();
        string answer = string.Create(
            CultureInfo.InvariantCulture, $"{connection.Queue} {connection.Delay.TotalMilliseconds:R} {connection.Loop.IsDriver}");
        switch (http.Request.Path)
        {
            case "/await":
                _entered.Release();
                await _release.WaitAsync(Timeouts.Limit);
                break;
            case "/sleep":
                Thread.Sleep(2);
                break;
            case "/refused":
                connection.OnRefused();
                break;
            case "/elsewhere":
                var other = new Thread(() => connection.OnRefused());
                other.Start();
                Assert.True(other.Join(Timeouts.Limit));
                bool byOther = connection.Dispatch.TeachesNothing;
                connection.OnRefused();
                answer = $"{byOther}, then {connection.Dispatch.TeachesNothing}";
                break;
            default:
                break;
        }

        http.Response.ContentLength = answer.Length;
        await http.Response.WriteAsync(answer);
    }

    private static async Task<bool> AskUntilAsync(HttpClient client, string path, bool onLoop)
    {
        for (int i = 0; i < Many; i++)
        {
            if ((await AskAsync(client, path)).IsOnLoop == onLoop)
            {
                return true;
            }
        }

        return false;
    }

    private static async Task<Answer> AskAsync(HttpClient client, string path) =>
        Answer.Parse(await client.GetStringAsync(new Uri(path, UriKind.Relative)).OrTimeout());

    private static string Request(string path) => $"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n";

    private static async Task<Answer> ReceiveAsync(Socket client)
    {
        string head = "";
        while (!head.EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            head += await client.ReceiveTextAsync(1);
        }

        string length = head.Split("Content-Length: ")[1].Split('\r')[0];
        return Answer.Parse(await client.ReceiveTextAsync(int.Parse(length, CultureInfo.InvariantCulture)));
    }

    private readonly record struct Answer(int Queue, double DelayMs, bool IsOnLoop)
    {
        public static Answer Parse(string text)
        {
            string[] parts = text.Split(' ');
            return new Answer(int.Parse(parts[0], CultureInfo.InvariantCulture), double.Parse(parts[1], CultureInfo.InvariantCulture), bool.Parse(parts[2]));
        }
    }
}
