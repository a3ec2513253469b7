using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>One connection that has very much to move does not keep the others of its loop waiting.</summary>
/// <remarks>Over TCP: the buffers of a unix socket are so small that every turn ends soon, budget or not.</remarks>
[Collection(RunsAlone.Name)]
public class FairnessTests
{
    private const int Much = 128 * 1024 * 1024;

    /// <summary>One for each 2.5 MB, far fewer than there is time for: whoever moves all he can in one turn lets 2 to 35 happen.</summary>
    private const int RoundTrips = 50;

    /// <summary>Less than Linux lets a connection on loopback have in its send buffer, and several turns.</summary>
    private const int InARow = 24 * Piece, Piece = 64 * 1024;

    /// <summary>40 MiB, in pieces.</summary>
    private const int LargeResponse = 640;

    /// <summary>The other connection's client may have had no processor meanwhile: 37 to 42 were seen in one run of a hundred.</summary>
    private const int Attempts = 3;

    private const string WhyNotSockets = "Its other connection shares the thread pool with the copying of all this: any number of round trips is right, none too.";

    [Theory, EpollTransports(WhyNotSockets)]
    public async Task Flush_OfMuchToAFastReader_OthersAreServedMeanwhile(TransportKind kind) =>
        await AssertServedAsync(() => CountWhileFlushingAsync(kind));

    [Theory, EpollTransports(WhyNotSockets)]
    public async Task ReadAtLeast_OfMuchFromAFastSender_OthersAreServedMeanwhile(TransportKind kind) =>
        await AssertServedAsync(() => CountWhileReadingAsync(kind));

    /// <remarks>
    /// All of it fits into the kernel's buffers, so that no flush has to wait for the peer. Where there are several threads, another one may have
    /// resumed the flush before it is looked at, or the one that serves the other connection may lose its processor: then once more.
    /// </remarks>
    [Theory]
    [InlineData(TransportKind.EpollAdaptive, 64 * 1024, null, true)]
    [InlineData(TransportKind.EpollAdaptive, 512 * 1024, null, true)]
    [InlineData(TransportKind.EpollThreadPool, 64 * 1024, null, true)]
    [InlineData(TransportKind.EpollThreadPool, 512 * 1024, null, true)]
    [InlineData(TransportKind.EpollAdaptive, 64 * 1024, 0L, false)]
    [InlineData(TransportKind.EpollInline, 64 * 1024, null, false)]
    public async Task Flushes_OfMuchInARow_GiveWayAndOthersAreServedInBetween(TransportKind kind, int piece, long? bound, bool giveWay)
    {
        bool haveWaited = false, isServed = false;
        for (int i = 0; i < 5 * Attempts && !(haveWaited && isServed); i++)
        {
            (bool waited, bool served) = await FlushAndServeAsync(kind, piece, bound);
            haveWaited |= waited;
            isServed |= served;
        }

        Assert.Equal(giveWay, haveWaited);
        Assert.True(isServed || !giveWay);
    }

    /// <remarks>The parts of a large response are short, and would outweigh that the handler blocks: each request would begin on a loop.</remarks>
    [Fact]
    public async Task Responses_LargeOnesOfAHandlerThatBlocks_StayOffTheLoop()
    {
        const int Requests = 6;
        List<string?> threads = [];
        await using KestrelHost host = await KestrelHost.StartAsync(TransportKind.EpollAdaptive, app => app.Run(async http =>
        {
            threads.Add(Thread.CurrentThread.Name);
            Thread.Sleep(20);
            http.Response.ContentLength = (long)LargeResponse * Piece;
            for (int i = 0; i < LargeResponse; i++)
            {
                await http.Response.Body.WriteAsync(new byte[Piece]);
            }
        }));
        using HttpClient client = host.CreateClient();

        for (int i = 0; i < Requests; i++)
        {
            await client.GetByteArrayAsync(new Uri("/", UriKind.Relative)).OrTimeout();
        }

        // On a worker; or on the pool, where the response before had to wait for the client, and Kestrel goes on there.
        Assert.All(threads.Skip(2), static thread => Assert.DoesNotContain("loop", thread, StringComparison.Ordinal));
    }

    private static async Task<(bool Waited, bool IsServed)> FlushAndServeAsync(TransportKind kind, int piece, long? bound)
    {
        await using ConnectionPair big = await ConnectionPair.CreateAsync(kind, s =>
        {
            s.LoopCount = 1;
            s.MaxWriteBufferSize = bound ?? s.MaxWriteBufferSize;
        });
        await using ConnectionPair other = await big.CreateAnotherAsync();
        Task served = ServeOnceAsync(other);
        Task<(bool, bool)> flushes = FlushWhenAskedAsync(big, piece, () => other.Client.Send("go"u8), served);

        await big.Client.SendAsync("go");

        (bool, bool) seen = await flushes.OrTimeout();
        await served.OrTimeout();
        return seen;
    }

    private static async Task ServeOnceAsync(ConnectionPair pair)
    {
        ReadResult result = await pair.Input.ReadAsync().ConfigureAwait(false);
        pair.Input.AdvanceTo(result.Buffer.End);
    }

    // Whether a flush was not completed as it returned, and whether the other one was served before the last piece.
    private static async Task<(bool Waited, bool IsServed)> FlushWhenAskedAsync(ConnectionPair pair, int piece, Action asksOther, Task other)
    {
        ReadResult result = await pair.Input.ReadAsync().ConfigureAwait(false);
        pair.Input.AdvanceTo(result.Buffer.End);
        asksOther();
        bool waited = false;
        for (int sent = 0; sent < InARow; sent += piece)
        {
            pair.Output.Write(new byte[piece]);
            Task<FlushResult> flush = pair.Output.FlushAsync().AsTask();
            waited |= !flush.IsCompleted;
            await flush.ConfigureAwait(false);
        }

        return (waited, other.IsCompleted);
    }

    private static async Task AssertServedAsync(Func<Task<int>> count)
    {
        int most = 0;
        for (int i = 0; i < Attempts && most < RoundTrips; i++)
        {
            most = Math.Max(most, await count());
        }

        Assert.True(most >= RoundTrips, $"{most} round trips of the other connection.");
    }

    private static async Task<int> CountWhileFlushingAsync(TransportKind kind)
    {
        await using ConnectionPair big = await ConnectionPair.CreateAsync(kind, s => s.LoopCount = 1);
        await using ConnectionPair other = await big.CreateAnotherAsync();
        await using var echo = new Echo(other);
        big.Output.Write(new byte[Much]);
        Task receive = StartThread(() => Transfer(buffer => big.Client.Receive(buffer)));
        Task<int> flush = FlushWhenAskedAsync(big, echo);
        await echo.WaitForMoreAsync();

        await big.Client.SendAsync("go");

        int meanwhile = await flush.OrTimeout();
        await receive.OrTimeout();
        return meanwhile;
    }

    private static async Task<int> CountWhileReadingAsync(TransportKind kind)
    {
        await using ConnectionPair big = await ConnectionPair.CreateAsync(kind, s => s.LoopCount = 1);
        await using ConnectionPair other = await big.CreateAnotherAsync();
        await using var echo = new Echo(other);
        Task<ReadResult> read = big.Input.ReadAtLeastAsync(Much).AsTask();
        int before = await echo.WaitForMoreAsync();

        Task send = StartThread(() => Transfer(buffer => big.Client.Send(buffer)));
        ReadResult result = await read.OrTimeout();

        int meanwhile = echo.Completed - before;
        await send.OrTimeout();
        Assert.Equal(Much, result.Buffer.Length);
        big.Input.AdvanceTo(result.Buffer.End);
        return meanwhile;
    }

    /// <summary>Where the transport resumes its readers, on the loop itself if it does so there.</summary>
    private static async Task<int> FlushWhenAskedAsync(ConnectionPair pair, Echo other)
    {
        ReadResult result = await pair.Input.ReadAsync().ConfigureAwait(false);
        pair.Input.AdvanceTo(result.Buffer.End);
        int before = other.Completed;
        await pair.Output.FlushAsync().ConfigureAwait(false);
        return other.Completed - before;
    }

    private static void Transfer(Func<byte[], int> move)
    {
        byte[] buffer = new byte[1024 * 1024];
        for (int moved = 0; moved < Much;)
        {
            int now = move(buffer);
            Assert.True(now > 0);
            moved += now;
        }
    }

    private static Task StartThread(Action action) =>
        Task.Factory.StartNew(action, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>A connection that answers, and a client on a thread of its own that asks again and again.</summary>
    private sealed class Echo : IAsyncDisposable
    {
        private readonly ConnectionPair _pair;
        private readonly Task _server;
        private readonly Task _client;
        private volatile bool _stop;
        private volatile int _completed;

        public Echo(ConnectionPair pair)
        {
            _pair = pair;
            pair.Client.ReceiveTimeout = (int)Timeouts.Limit.TotalMilliseconds;
            _server = AnswerAsync();
            _client = StartThread(Ask);
        }

        public int Completed => _completed;

        /// <summary>Waits until it is in full swing.</summary>
        public async Task<int> WaitForMoreAsync()
        {
            int enough = _completed + RoundTrips;
            while (_completed < enough)
            {
                Assert.False(_client.IsCompleted);
                await Task.Yield();
            }

            return _completed;
        }

        public async ValueTask DisposeAsync()
        {
            _stop = true;
            await _client.OrTimeout();
            await _server.OrTimeout();
        }

        private void Ask()
        {
            byte[] one = new byte[1];
            while (!_stop)
            {
                _pair.Client.Send(one);
                Assert.Equal(1, _pair.Client.Receive(one));
                _completed++;
            }

            _pair.Client.Shutdown(SocketShutdown.Send);
        }

        private async Task AnswerAsync()
        {
            while (true)
            {
                ReadResult result = await _pair.Input.ReadAsync().ConfigureAwait(false);
                _pair.Output.Write(result.Buffer.ToArray());
                _pair.Input.AdvanceTo(result.Buffer.End);
                await _pair.Output.FlushAsync().ConfigureAwait(false);
                if (result.IsCompleted)
                {
                    return;
                }
            }
        }
    }
}
