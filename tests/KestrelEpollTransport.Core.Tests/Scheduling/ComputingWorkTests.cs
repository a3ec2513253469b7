using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>Dear work that computes, on a machine of one processor, and a watch that looks when the test says so.</summary>
public sealed class ComputingWorkTests : IDisposable
{
    private readonly List<HeldWork> _all = [];
    private readonly Workers _workers;
    private int _watchCalls;

    public ComputingWorkTests() =>
        _workers = new Workers(maxBusy: 8, loopCount: 1, maxComputing: 1) { CallWatch = () => _watchCalls++ };

    public void Dispose()
    {
        _all.ForEach(static work => work.Release());
        _workers.Dispose();
    }

    [Fact]
    public async Task Work_WhileAsManyComputeAsCan_IsTakenByWhoIsDone()
    {
        HeldWork first = await RunAsync(mayBlock: false);

        HeldWork waits = Enqueue(mayBlock: false);

        Assert.Equal(1, _watchCalls);
        Assert.Equal(1, _workers.Busy);
        first.Release();
        Assert.Same(await first.Thread, await waits.Thread.OrTimeout());
    }

    [Fact]
    public async Task Work_ThatMayBlock_GetsAThreadHoweverManyRun()
    {
        await RunAsync(mayBlock: false);
        await RunAsync(mayBlock: true);
        await RunAsync(mayBlock: true);

        Assert.Equal(3, _workers.Busy);
        Assert.Equal(0, _watchCalls);
    }

    [Fact]
    public async Task Work_BesideThreadsThatAreBlocked_GetsAThread()
    {
        await RunAsync(mayBlock: true);
        await RunAsync(mayBlock: true);

        await RunAsync(mayBlock: false);

        Assert.Equal(0, _watchCalls);
    }

    [Fact]
    public async Task Work_ThatBlocksUnexpectedly_HoldsBackUntilTheWatchSeesThatNothingMoves()
    {
        HeldWork first = await RunAsync(mayBlock: false);
        HeldWork waits = Enqueue(mayBlock: false);

        // The first one was taken since the look before.
        Look();
        Assert.Equal(1, _workers.Busy);
        Look();

        Assert.NotSame(await first.Thread, await waits.Thread.OrTimeout());
    }

    [Fact]
    public async Task Thread_ThatIsOneTooManyToCompute_LeavesTheRestToTheOthers()
    {
        HeldWork first = await RunAsync(mayBlock: false);
        HeldWork second = Enqueue(mayBlock: false);
        HeldWork third = Enqueue(mayBlock: false);
        Look();
        Look();
        await second.Thread.OrTimeout();

        second.Release();
        await Timeouts.UntilAsync(() => _workers.Busy == 1);
        first.Release();

        Assert.Same(await first.Thread, await third.Thread.OrTimeout());
    }

    private void Look() => ((IWatched)_workers.OffLoop).Look(WatchThread.Interval);

    private async Task<HeldWork> RunAsync(bool mayBlock)
    {
        HeldWork work = Enqueue(mayBlock);
        await work.Thread.OrTimeout();
        return work;
    }

    private HeldWork Enqueue(bool mayBlock)
    {
        HeldWork work = new();
        _all.Add(work);
        _workers.OffLoop.Enqueue(work, isQuick: false, mayBlock);
        return work;
    }
}
