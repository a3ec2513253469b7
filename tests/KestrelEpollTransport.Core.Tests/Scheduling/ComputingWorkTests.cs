using KestrelEpollTransport.Scheduling;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>Dear work that computes, on a machine of one processor, and a watch that looks when the test says so.</summary>
public sealed class ComputingWorkTests : IDisposable
{
    private const int MaxWorkers = 4;

    private readonly List<HeldWork> _all = [];
    private readonly Workers _workers;
    private int _watchCalls;

    public ComputingWorkTests() =>
        _workers = new Workers(MaxWorkers, loopCount: 1, maxComputing: 1) { CallWatch = () => _watchCalls++ };

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
    public async Task Work_BehindWhatBlocksUnexpectedly_FlowsOnceTheWatchHasSeenIt()
    {
        await RunAsync(mayBlock: false);
        CountdownEvent left = new(100);
        for (int i = 0; i < 100; i++)
        {
            _workers.OffLoop.Enqueue(new TestWork(() => left.Signal()), isQuick: false, mayBlock: false);
        }

        Look();
        Look();

        Assert.True(left.Wait(Timeouts.Limit), $"{left.CurrentCount} wait for more looks.");
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

        first.Release();
        await Timeouts.UntilAsync(() => _workers.Busy == 1);
        second.Release();

        Assert.Same(await second.Thread, await third.Thread.OrTimeout());
    }

    [Fact]
    public async Task Work_HeldBackWhileAllWorkersAreStuck_GoesToThePool()
    {
        await RunAsync(mayBlock: false);
        for (int i = 1; i < MaxWorkers; i++)
        {
            await RunAsync(mayBlock: true);
        }

        HeldWork waits = Enqueue(mayBlock: false);
        HeldWork waitsToo = Enqueue(mayBlock: false);
        for (int i = 0; i <= OffLoopQueue.LooksPerCall; i++)
        {
            Look();
        }

        Assert.True((await waits.Thread.OrTimeout()).IsThreadPoolThread);
        Assert.True((await waitsToo.Thread.OrTimeout()).IsThreadPoolThread);
    }

    [Fact]
    public async Task Work_HeldBackWhenTheTransportEnds_GetsThreads()
    {
        await RunAsync(mayBlock: false);
        HeldWork waits = Enqueue(mayBlock: false);
        HeldWork waitsToo = Enqueue(mayBlock: false);

        _workers.Dispose();

        await waits.Thread.OrTimeout();
        await waitsToo.Thread.OrTimeout();
        await RunAsync(mayBlock: false);
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
