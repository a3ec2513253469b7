using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>To which threads connections that left their loop are given, on a machine of one processor.</summary>
public sealed class AdaptiveSchedulerTests : IDisposable
{
    private readonly LogRecorder _log = new();
    private readonly SchedulingCounters _counters = new(1);
    private readonly DispatchHistory _history;
    private readonly Workers _workers = new(maxBusy: 8, loopCount: 1, new ComputingSlots(1)) { CallWatch = static () => { } };
    private readonly EventLoop _loop;
    private readonly AdaptiveScheduler _scheduler;
    private readonly List<Resumable> _all = [];

    public AdaptiveSchedulerTests()
    {
        _history = new DispatchHistory(TimeSpan.FromMicroseconds(100), _counters);
        _loop = new EventLoop(0, Poller.Create(), _log, new LoopThread());
        _scheduler = new AdaptiveScheduler(_workers, _counters, new WorkerAlarm(_log, 8));
    }

    public void Dispose()
    {
        _all.ForEach(static resumable => resumable.Work.Release());
        _workers.Dispose();
        _loop.Dispose();
        _log.Dispose();
    }

    [Fact]
    public async Task ConnectionsThatCompute_ShareTheThreadsThatAProcessorIsWorth()
    {
        Resumable first = Resume(isBlocked: false);
        await first.Work.Thread.OrTimeout();

        Resumable second = Resume(isBlocked: false);

        Assert.Equal(1, _workers.Busy);
        first.Work.Release();
        Assert.Same(await first.Work.Thread, await second.Work.Thread.OrTimeout());
    }

    [Fact]
    public async Task ConnectionsThatBlock_GetAThreadEach()
    {
        await Resume(isBlocked: true).Work.Thread.OrTimeout();
        await Resume(isBlocked: true).Work.Thread.OrTimeout();

        Assert.Equal(2, _workers.Busy);
    }

    [Fact]
    public async Task ConnectionThatIsSeenBlocked_IsKnownToBlockFromThenOn()
    {
        Resumable blocked = Resume(isBlocked: false);
        await blocked.Work.IsBlockedAsync();
        Resumable waits = Resume(isBlocked: false);

        for (int i = 0; i < 2; i++)
        {
            ((IWatched)_workers.OffLoop).Look(WatchThread.Interval);
            Assert.False(blocked.Profile.MayBlock);
        }

        ((IWatched)_workers.OffLoop).Look(WatchThread.Interval);

        Assert.True(blocked.Profile.MayBlock);
        await waits.Work.Thread.OrTimeout();
        Assert.False(waits.Profile.MayBlock);
    }

    // A connection that was handed over has left its loop.
    private Resumable Resume(bool isBlocked)
    {
        Resumable resumable = new(_history);
        _all.Add(resumable);
        resumable.Profile.Begin();
        for (int i = 0; i < 4; i++)
        {
            // What is known of others is not what this is about.
            resumable.Profile.Note(isDear: false, isDearStart: false);
        }

        resumable.Profile.HandedOff(isBlocked);
        _scheduler.Resume(resumable, _loop);
        return resumable;
    }

    private sealed class Resumable(DispatchHistory history) : IResumable
    {
        private DispatchProfile _profile = new(history);

        public HeldWork Work { get; } = new();

        public ref DispatchProfile Profile => ref _profile;

        public void Execute() => Work.Execute();
    }
}
