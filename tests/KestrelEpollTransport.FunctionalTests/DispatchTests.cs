using System.Diagnostics;
using System.IO.Pipelines;
using System.Net.Sockets;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Scheduling;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>On which thread code goes on, and that what was flushed never waits for a handler.</summary>
[Collection(RunsAlone.Name)]
public class DispatchTests
{
    private const string WhereCodeRuns = "where a continuation runs is what the scheduling modes are about";

    /// <summary>The race between a read's completion and its await is lost now and then: once is luck.</summary>
    private const int Tries = 100;

    [Theory, EpollTransports(WhereCodeRuns)]
    public async Task FirstRead_DataAlreadyThere_IsResumedWhereTheModeSays(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        for (int i = 0; i < Tries; i++)
        {
            using Socket client = await Net.ConnectAsync(listener.EndPoint);
            await client.SendAsync("early");
            await using ConnectionContext server = await BindTests.AcceptAsync(listener);
            string thread = await Task.Run(() => ReadAndNameThreadAsync(server.Transport.Input)).OrTimeout();
            AssertWhereTheModeSays(kind, thread);
        }
    }

    [Theory, EpollTransports(WhereCodeRuns)]
    public async Task PendingRead_DataArrives_IsResumedWhereTheModeSays(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        for (int i = 0; i < 10; i++)
        {
            // The method returns once its await is pending, so the data can't come before.
            Task<string> reading = ReadAndNameThreadAsync(pair.Input);
            Assert.False(reading.IsCompleted);

            await pair.Client.SendAsync("x");

            AssertWhereTheModeSays(kind, await reading.OrTimeout());
        }
    }

    [Theory, EpollTransports(WhereCodeRuns)]
    public async Task Handler_OfAConnectionsFirstRequest_RunsWhereTheModeSays(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind, context => context.Response.WriteAsync(Thread.CurrentThread.Name ?? string.Empty));
        using HttpClient client = host.CreateClient();
        client.DefaultRequestHeaders.ConnectionClose = true;
        for (int i = 0; i < Tries; i++)
        {
            string thread = await client.GetStringAsync(host.Address).OrTimeout();
            AssertWhereTheModeSays(kind, thread);
        }
    }

    [Theory, AllTransports]
    public async Task PipelinedRequests_SecondHandlerBlocks_FirstResponseArrivesAtOnce(TransportKind kind)
    {
        using var received = new ManualResetEventSlim();
        bool releasedInTime = false;
        await using KestrelHost host = await KestrelHost.StartAsync(kind, context =>
        {
            if (context.Request.Path == "/second")
            {
                releasedInTime = received.Wait(Timeouts.Limit);
            }

            return context.Response.WriteAsync(context.Request.Path == "/second" ? "second" : "first");
        });
        using Socket client = await host.ConnectAsync();

        await client.SendAsync("GET /first HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

        string first = await HttpConnectionEndTests.ReceiveUntilAsync(client, "first\r\n0\r\n\r\n");
        received.Set();
        Assert.DoesNotContain("second", first, StringComparison.Ordinal);
        Assert.Contains("second", await client.ReceiveTextToEndAsync(), StringComparison.Ordinal);
        Assert.True(releasedInTime, "The second handler stopped waiting before the first response had arrived.");
    }

    [Theory, AllTransports]
    public async Task Flush_WithUnreadInputThenABlockedThread_IsSentAllTheSame(TransportKind kind)
    {
        // Raw version of the above: the reader's continuation flushes, keeps input unread, and blocks.
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        using var received = new ManualResetEventSlim();
        Task<bool> serving = Task.Run(async () =>
        {
            ReadResult result = await pair.Input.ReadAtLeastAsync(2).ConfigureAwait(false);
            pair.Input.AdvanceTo(result.Buffer.GetPosition(1));
            await pair.Output.WriteAsync("answer"u8.ToArray()).ConfigureAwait(false);
            return received.Wait(Timeouts.Limit);
        });

        await pair.Client.SendAsync("ab");

        Assert.Equal("answer", await pair.Client.ReceiveTextAsync(6));
        received.Set();
        Assert.True(await serving.OrTimeout());
    }

    [Theory, AllTransports]
    public async Task Flush_NotAwaitedAndNeverReadAgain_IsSent(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        for (int i = 0; i < 100; i++)
        {
            Task serving = Task.Run(async () =>
            {
                ReadResult result = await pair.Input.ReadAsync().ConfigureAwait(false);
                pair.Input.AdvanceTo(result.Buffer.End);
                _ = pair.Output.WriteAsync("a"u8.ToArray()).AsTask();
                _ = pair.Output.WriteAsync("b"u8.ToArray()).AsTask();
            });
            await pair.Client.SendAsync("x");
            Assert.Equal("ab", await pair.Client.ReceiveTextAsync(2));
            await serving.OrTimeout();
        }
    }

    [Theory, EpollTransports("the bound of 5 ms is ours")]
    public async Task Flush_WhileHandlerSpins_ArrivesWithinTheBound(TransportKind kind)
    {
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        var delays = new List<double>();
        for (int i = 0; i < 50; i++)
        {
            using var received = new ManualResetEventSlim();
            long flushed = 0;
            Task serving = Task.Run(async () =>
            {
                ReadResult result = await pair.Input.ReadAtLeastAsync(2).ConfigureAwait(false);
                pair.Input.AdvanceTo(result.Buffer.GetPosition(1));
                flushed = Stopwatch.GetTimestamp();
                await pair.Output.WriteAsync("answer"u8.ToArray()).ConfigureAwait(false);
                received.Wait(Timeouts.Limit);
                pair.Input.TryRead(out result);
                pair.Input.AdvanceTo(result.Buffer.End);
                await Task.Yield();
            });
            await pair.Client.SendAsync("ab");
            await pair.Client.ReceiveTextAsync(6);
            delays.Add(Stopwatch.GetElapsedTime(flushed).TotalMilliseconds);
            received.Set();
            await serving.OrTimeout();
        }

        // The median: this machine runs other tests meanwhile, and a single wait shows their load, not ours.
        Assert.InRange(delays.Order().ElementAt(delays.Count / 2), 0, 5);
    }

    [Fact]
    public async Task FlushThatGoesOn_OnAConnectionThatComputesForLong_TakesNoPlaceOfSuchWork()
    {
        // All places may be taken by dispatches that block until it has gone on.
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(TransportKind.EpollAdaptive);
        var connection = (EpollConnection)pair.Server;
        Assert.Null(((IResumable)connection.Writer).Lane);
        for (int i = 0; i < 8; i++)
        {
            long tenMs = Stopwatch.Frequency / 100;
            connection.Dispatch.Profile.Note(new DispatchTime(tenMs, Slept: false, tenMs));
        }

        Assert.Equal(WorkLane.Long, ((IResumable)connection.Reader).Lane);
        Assert.Equal(WorkLane.Quick, ((IResumable)connection.Writer).Lane);
        connection.Dispatch.Profile.Note(new DispatchTime(Stopwatch.Frequency / 100, Slept: true), isPart: true);
        Assert.Equal(WorkLane.Slow, ((IResumable)connection.Writer).Lane);
    }

    private static async Task<string> ReadAndNameThreadAsync(PipeReader input)
    {
        ReadResult result = await input.ReadAsync().ConfigureAwait(false);
        string thread = Thread.CurrentThread.Name ?? string.Empty;
        input.AdvanceTo(result.Buffer.End);
        return thread;
    }

    private static void AssertWhereTheModeSays(TransportKind kind, string thread) =>
        Assert.Matches(
            kind switch
            {
                TransportKind.EpollInline => "^epoll loop",
                TransportKind.EpollAdaptive or TransportKind.EpollContinuations => "^epoll (loop|worker)",
                _ => "^[.]NET TP Worker",
            },
            thread);
}
