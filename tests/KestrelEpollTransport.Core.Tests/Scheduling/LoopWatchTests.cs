using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Scheduling;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>What the watch of the loops does with what it is told; the test is its thread.</summary>
public sealed class LoopWatchTests : IDisposable
{
    private readonly LogRecorder _log = new();
    private readonly Workers _workers = new(maxBusy: 4, loopCount: 1);
    private readonly SchedulingCounters _counters = new(loopCount: 1);
    private readonly ManualResetEventSlim _release = new();
    private readonly LoopGroup _group;
    private readonly LoopWatch _watch;
    private readonly EventLoop _loop;

    public LoopWatchTests()
    {
        _group = new LoopGroup(1, _workers.Drive, _log);
        _watch = new LoopWatch(_group, _workers, _counters, _log, TimeSpan.FromMilliseconds(2));
        _loop = _group.Loops[0];
    }

    public void Dispose()
    {
        _release.Set();
        _group.Dispose();
        _workers.Dispose();
        _log.Dispose();
        _release.Dispose();
    }

    [Fact]
    public async Task Look_ThatIsAlwaysLate_HandsOffWhatIsStuckNevertheless()
    {
        await BlockAsync();

        // As on a machine that wakes its threads late all the time: no look proves anything by itself.
        for (int i = 0; i < 50 && _counters.HandOffs == 0; i++)
        {
            ((IWatched)_watch).Look(TimeSpan.Zero);
        }

        Assert.Equal(1, _counters.HandOffs);
        TaskCompletionSource ran = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(new TestWork(ran.SetResult));
        await ran.Task.OrTimeout();
    }

    [Fact]
    public async Task Look_ThatIsLateOnce_HandsNothingOff()
    {
        await BlockAsync();

        ((IWatched)_watch).Look(TimeSpan.Zero);
        ((IWatched)_watch).Look(TimeSpan.Zero);

        Assert.Equal(0, _counters.HandOffs);

        // More than one, where it was seen asleep on its way there.
        await Timeouts.UntilAsync(() =>
        {
            ((IWatched)_watch).Look(TimeSpan.FromMilliseconds(2));
            return _counters.HandOffs == 1;
        });
    }

    [Fact]
    public async Task Look_AtALoopWhoseOnlyThreadIsBusySinceTheLookBefore_CallsAnother()
    {
        await BlockAsync();
        TaskCompletionSource ran = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _loop.Post(new TestWork(ran.SetResult));

        // Too short for a hand-off.
        ((IWatched)_watch).Look(TimeSpan.FromMicroseconds(1));
        ((IWatched)_watch).Look(TimeSpan.FromMicroseconds(1));

        await ran.Task.OrTimeout();
        Assert.Equal(0, _counters.HandOffs);
    }

    [Theory, InlineData(1), InlineData(2)]
    public async Task Look_AtALoopThatIsInAnotherPassThanBefore_CallsNobody(int processors)
    {
        HeldWork first = new();
        HeldWork second = new();
        int most = await LookDuringAsync(processors, [first, second], (loop, _) => loop.Post(new TestWork(() =>
        {
            first.Execute();
            loop.Post(new TestWork(second.Execute));
        })));

        Assert.Equal(1, most);
    }

    // A look while each of the works is held. Returns how many threads drove the loop at most.
    private async Task<int> LookDuringAsync(int processors, HeldWork[] works, Action<EventLoop, HeldWork[]> post)
    {
        using LoopGroup group = new(1, _workers.Drive, _log, new LoopSettings { Drivers = processors, CallAfter = TimeSpan.FromMinutes(1) });
        IWatched watch = new LoopWatch(group, _workers, _counters, _log, TimeSpan.FromMilliseconds(2));
        EventLoop loop = group.Loops[0];
        await Timeouts.UntilAsync(() => loop.Crew.IsPolled);
        post(loop, works);
        int most = 0;
        foreach (HeldWork work in works)
        {
            await work.Thread.OrTimeout();
            watch.Look(TimeSpan.FromMicroseconds(1));
            most = Math.Max(most, loop.Crew.Count);
            work.Release();
        }

        return most;
    }

    // The loop is in a dispatch, and its thread asleep there.
    private async Task BlockAsync()
    {
        _loop.Post(new TestWork(() => _release.Wait(Timeouts.Limit + Timeouts.Limit)));
        await Timeouts.UntilAsync(() => _loop.Seats[0].CurrentDispatch != 0 && _loop.Seats[0].IsRunning == false);
    }
}
