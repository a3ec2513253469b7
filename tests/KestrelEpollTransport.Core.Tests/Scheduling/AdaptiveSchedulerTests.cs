using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>On which threads connections run.</summary>
public sealed class AdaptiveSchedulerTests : IDisposable
{
    private readonly LogRecorder _log = new();
    private readonly SchedulingCounters _counters = new(1);
    private readonly DispatchHistory _history;
    private readonly Workers _workers = new(maxBusy: 8, loopCount: 1) { CallWatch = static () => { } };
    private readonly EventLoop _loop;
    private readonly AdaptiveScheduler _scheduler;
    private readonly List<Resumable> _all = [];

    public AdaptiveSchedulerTests()
    {
        _history = new DispatchHistory(TimeSpan.FromMicroseconds(100), _counters);
        _loop = new EventLoop(0, Poller.Create(), _log, EventLoop.DriveOnThread);
        _scheduler = new AdaptiveScheduler(_workers, _counters);
    }

    public void Dispose()
    {
        _all.ForEach(static resumable => resumable.Work.Release());
        _workers.Dispose();
        _loop.Dispose();
        _log.Dispose();
    }

    [Fact]
    public async Task ConnectionsThatBlock_GetAThreadEach()
    {
        await Resume().Work.Thread.OrTimeout();
        await Resume().Work.Thread.OrTimeout();

        Assert.Equal(2, _workers.Busy);
    }

    [Fact]
    public async Task ConnectionThatComputesForLong_GetsAWorker_AndAnyOtherRunsAtOnce()
    {
        Resumable cheap = new(_history);
        cheap.Work.Release();
        cheap.Profile.Begin();
        _scheduler.ResumeFromLoop(cheap, _loop);
        Assert.True(cheap.Work.Thread.IsCompleted);

        Resumable longer = new(_history);
        longer.Work.Release();
        longer.Profile.Begin();
        for (int i = 0; i < 3; i++)
        {
            longer.Profile.Note(new DispatchTime(_history.LongTicks + 1, Slept: false, _history.LongTicks + 1));
        }

        _scheduler.ResumeFromLoop(longer, _loop);

        Assert.NotEqual(Environment.CurrentManagedThreadId, (await longer.Work.Thread.OrTimeout()).ManagedThreadId);
    }

    // A connection whose dispatch was seen blocked has left its loop.
    private Resumable Resume()
    {
        Resumable resumable = new(_history);
        _all.Add(resumable);
        resumable.Profile.Begin();
        resumable.Profile.HandedOff(isBlocked: true);
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
