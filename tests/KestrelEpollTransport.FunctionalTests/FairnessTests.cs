using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>One connection that has very much to move does not keep the others of its loop waiting.</summary>
[Collection(RunsAlone.Name)]
public class FairnessTests
{
    private const int Much = 128 * 1024 * 1024;

    /// <summary>Far fewer than there is time for while so much is moved, far more than between two turns of a loop.</summary>
    private const int RoundTrips = 20;

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task Flush_OfMuchToAFastReader_OthersAreServedMeanwhile(TransportKind kind, bool unix)
    {
        await using ConnectionPair big = await ConnectionPair.CreateAsync(kind, s => s.LoopCount = 1, Net.NewEndPoint(unix));
        await using ConnectionPair other = await big.CreateAnotherAsync();
        using var echo = new Echo(other);
        big.Output.Write(new byte[Much]);
        Task receive = StartThread(() => Transfer(buffer => big.Client.Receive(buffer)));
        int before = await echo.WaitForMoreAsync();

        await big.Output.FlushAsync().OrTimeout();

        int meanwhile = echo.Completed - before;
        await receive.OrTimeout();
        Assert.True(meanwhile >= RoundTrips, $"{meanwhile} round trips of the other connection.");
    }

    [Theory, AllTransports(false), AllTransports(true)]
    public async Task ReadAtLeast_OfMuchFromAFastSender_OthersAreServedMeanwhile(TransportKind kind, bool unix)
    {
        await using ConnectionPair big = await ConnectionPair.CreateAsync(kind, s => s.LoopCount = 1, Net.NewEndPoint(unix));
        await using ConnectionPair other = await big.CreateAnotherAsync();
        using var echo = new Echo(other);
        Task<ReadResult> read = big.Input.ReadAtLeastAsync(Much).AsTask();
        int before = await echo.WaitForMoreAsync();

        Task send = StartThread(() => Transfer(buffer => big.Client.Send(buffer)));
        ReadResult result = await read.OrTimeout();

        int meanwhile = echo.Completed - before;
        await send.OrTimeout();
        Assert.Equal(Much, result.Buffer.Length);
        big.Input.AdvanceTo(result.Buffer.End);
        Assert.True(meanwhile >= RoundTrips, $"{meanwhile} round trips of the other connection.");
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
    private sealed class Echo : IDisposable
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

        public void Dispose()
        {
            _stop = true;
            Assert.True(Task.WaitAll([_client, _server], Timeouts.Limit));
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
