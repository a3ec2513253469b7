using System.Diagnostics;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using Microsoft.Extensions.Logging.Abstractions;

namespace KestrelEpollTransport.Tests.Loops;

/// <summary>Since when what a pass tells may have been ready. Time is simulated, and passes only in the poller and in handlers.</summary>
public class ReadySinceTests
{
    private static readonly long s_millisecond = Stopwatch.Frequency / 1_000;

    [Fact]
    public async Task Passes_ThatCannotHaveSlept_AreReadySinceThePollBefore_OthersSinceTheirOwn()
    {
        var time = new ManualTime();
        var since = new List<(long ReadySince, long Polled)>();
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        EventLoop loop = null!;
        var handler = new TestHandler(_ =>
        {
            since.Add((loop.ReadySince, time.Now));
            time.Now += 3 * s_millisecond;
            if (since.Count == 4)
            {
                // Left for after the next poll, which so is not to sleep.
                loop.Post(new TestWork(() => loop.Post(new TestWork(static () => { }))));
            }
            else if (since.Count == 6)
            {
                done.SetResult();
            }
        });

        // How long each wait takes: it sleeps, finds something at once twice, sleeps; has no processor for long; and finds more than it can tell,
        // as slowly.
        long slow = 10 * s_millisecond;
        var poller = new ScriptedPoller(time, [slow, 1, 1, slow, slow, slow]) { FullAt = 6 };
        loop = new EventLoop(0, poller, NullLogger.Instance, EventLoop.DriveOnThread, new LoopSettings { Time = time, Spin = TimeSpan.Zero });
        loop.Register(handler, descriptor: 1, Interest.Read);
        poller.Tells = handler.Token;
        EventLoop.DriveOnThread(loop.Seats[0]);
        await done.Task.OrTimeout();
        loop.Stop();
        Assert.True(loop.WaitForEnd(Timeouts.Limit));

        Assert.Equal(since[0].Polled, since[0].ReadySince);
        Assert.Equal(since[0].Polled, since[1].ReadySince);
        Assert.Equal(since[1].Polled, since[2].ReadySince);
        Assert.Equal(since[3].Polled, since[3].ReadySince);
        Assert.Equal(since[3].Polled, since[4].ReadySince);
        Assert.Equal(since[4].Polled, since[5].ReadySince);
        Assert.Equal(0, poller.TimeoutsMs[4]);
        Assert.NotEqual(0, poller.TimeoutsMs[5]);
        Assert.Equal((3 * s_millisecond) + 1, since[2].Polled - since[2].ReadySince);
    }

    private sealed class ManualTime : TimeProvider
    {
        public long Now { get; set; } = Stopwatch.Frequency;

        public override long GetTimestamp() => Now;

        public override long TimestampFrequency => Stopwatch.Frequency;
    }

    private sealed class ScriptedPoller(ManualTime time, long[] waits) : Poller
    {
        private readonly ManualResetEventSlim _woken = new();
        private int _waits;

        public Token Tells { get; set; }

        /// <summary>Which wait tells as much as it can: the others are of nobody.</summary>
        public int FullAt { get; init; }

        public List<int> TimeoutsMs { get; } = [];

        public override bool SharesListeners => true;

        public override IoResult Register(int descriptor, Interest interest, Token token) => default;

        public override IoResult RegisterShared(int descriptor, Token token) => default;

        public override IoResult Modify(int descriptor, Interest interest, Token token) => default;

        public override IoResult Deregister(int descriptor) => default;

        public override int Wait(Span<PollEvent> events, int timeoutMs)
        {
            if (_waits == waits.Length)
            {
                Assert.True(_woken.Wait(Timeouts.Limit));
                return 0;
            }

            TimeoutsMs.Add(timeoutMs);
            time.Now += waits[_waits++];
            events.Clear();
            events[0] = new PollEvent(Tells, Readiness.Readable);
            return _waits == FullAt ? events.Length : 1;
        }

        public override void Wake() => _woken.Set();

        public override void Dispose() => _woken.Dispose();
    }
}
