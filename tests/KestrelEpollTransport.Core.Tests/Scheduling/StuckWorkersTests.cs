using KestrelEpollTransport.Scheduling;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>Dear work that waits because all workers are busy, and a watch that looks when the test says so.</summary>
public sealed class StuckWorkersTests : IDisposable
{
    private readonly List<HeldWork> _all = [];
    private readonly Workers _workers;
    private int _watchCalls;

    public StuckWorkersTests() => _workers = new Workers(maxBusy: 2, loopCount: 1) { CallWatch = () => _watchCalls++ };

    public void Dispose()
    {
        _all.ForEach(static blocked => blocked.Release());
        _workers.Dispose();
    }

    [Fact]
    public async Task Work_WhileAllWorkersAreBusy_IsTakenByTheNextThatIsDone()
    {
        HeldWork first = await RunAsync();
        await RunAsync();

        HeldWork waits = Enqueue();
        Assert.Equal(1, _watchCalls);
        Look(WorkQueue.LooksPerCall - 1);
        first.Release();

        Assert.Same(await first.Thread, await waits.Thread.OrTimeout());
    }

    [Fact]
    public async Task Work_WhileNoWorkerComesBack_GetsOneWorkerMoreAtATime()
    {
        HeldWork first = await RunAsync();
        HeldWork second = await RunAsync();
        for (int more = 1; more <= 3; more++)
        {
            HeldWork stuck = Enqueue();
            HeldWork behind = Enqueue();

            // The first look finds that something was taken lately.
            Look(WorkQueue.LooksPerCall);
            Assert.Equal(1 + more, _workers.Busy);
            Look(1);
            Assert.False((await stuck.Thread.OrTimeout()).IsThreadPoolThread);
            Assert.Equal(2 + more, _workers.Busy);
            Assert.True(_workers.HasReserve);
            Assert.False(behind.Thread.IsCompleted);

            // And on to a worker that is back.
            stuck.Release();
            Assert.Same(await stuck.Thread, await behind.Thread.OrTimeout());
        }

        // The first to come back lately goes on. Behind it others do, and one that is too many goes home.
        Look(WorkQueue.LooksPerCall);
        HeldWork waits = Enqueue();
        second.Release();
        Assert.Same(await second.Thread, await waits.Thread.OrTimeout());
        Assert.Equal(5, _workers.Bound);
        HeldWork left = Enqueue();
        first.Release();
        await Timeouts.UntilAsync(() => _workers.Busy == 4);
        Assert.Equal(4, _workers.Bound);
        Assert.False(left.Thread.IsCompleted);
        _all.ForEach(static held => held.Release());
        await left.Thread.OrTimeout();
        await Timeouts.UntilAsync(() => _workers.Busy == 0);

        // The bound is what it was.
        await RunAsync();
        await RunAsync();
        Assert.True(_workers.IsExhausted);
        Assert.Equal(2, _workers.Busy);
        Assert.NotSame(await first.Thread, await second.Thread);
    }

    [Fact]
    public async Task Work_AfterABusyWorkerTookWhatFoundNone_CallsTheWatchAgain()
    {
        HeldWork first = await RunAsync();
        await RunAsync();
        HeldWork waits = Enqueue();
        first.Release();
        await waits.Thread.OrTimeout();

        Enqueue();

        Assert.Equal(2, _watchCalls);
    }

    [Fact]
    public async Task Work_AfterTheTransportEndedWhileACallWasMissed_GoesToThePool()
    {
        HeldWork first = await RunAsync();
        await RunAsync();
        HeldWork waits = Enqueue();
        first.Release();
        await waits.Thread.OrTimeout();

        _workers.Dispose();
        _all.ForEach(static blocked => blocked.Release());
        await Timeouts.UntilAsync(() => _workers.Count == 0);

        await Enqueue().Thread.OrTimeout();
    }

    [Fact]
    public async Task Work_WhereTheSystemRefusesThreads_GoesToThePool()
    {
        using Workers workers = new(maxBusy: 2, loopCount: 1)
        {
            StartThread = static _ => throw new InsufficientMemoryException("On purpose: no thread."),
            CallWatch = static () => { },
        };
        HeldWork blocked = new();
        HeldWork another = new();
        _all.AddRange([blocked, another]);

        // Each by itself.
        workers.OffLoop.Enqueue(blocked);
        workers.OffLoop.Enqueue(another);

        Assert.True((await blocked.Thread.OrTimeout()).IsThreadPoolThread);
        Assert.True((await another.Thread.OrTimeout()).IsThreadPoolThread);
    }

    [Fact]
    public async Task Work_WhereTheSystemRefusesOneWorkerMore_GoesToThePoolOneAtATime()
    {
        int started = 0;
        using Workers workers = new(maxBusy: 1, loopCount: 1)
        {
            StartThread = worker =>
            {
                if (++started > 1)
                {
                    throw new InsufficientMemoryException("On purpose: no thread.");
                }

                worker.Start();
            },
        };
        HeldWork[] work = [new(), new(), new()];
        _all.AddRange(work);
        workers.OffLoop.Enqueue(work[0]);
        await work[0].Thread.OrTimeout();
        workers.OffLoop.Enqueue(work[1]);
        workers.OffLoop.Enqueue(work[2]);

        // The first look finds that something was taken lately.
        Look(1, workers);
        for (int next = 1; next <= 2; next++)
        {
            Look(WorkQueue.LooksPerCall, workers);
            Assert.True((await work[next].Thread.OrTimeout()).IsThreadPoolThread);
            Assert.Equal(next == 1, !workers.OffLoop.IsEmpty);
        }

        _all.ForEach(static held => held.Release());
    }

    [Fact]
    public async Task Looks_AtAnEmptyQueue_DoNotCount()
    {
        HeldWork first = await RunAsync();
        await RunAsync();
        Look(WorkQueue.LooksPerCall - 1);

        HeldWork waits = Enqueue();
        Look(1);
        first.Release();

        Assert.Same(await first.Thread, await waits.Thread.OrTimeout());
    }

    [Fact]
    public async Task Work_ThatWaitsWhenTheTransportEnds_GoesToThePool()
    {
        await RunAsync();
        await RunAsync();
        HeldWork waits = Enqueue();

        _workers.Dispose();

        Assert.True((await waits.Thread.OrTimeout()).IsThreadPoolThread);
        Assert.True((await Enqueue().Thread.OrTimeout()).IsThreadPoolThread);
        Assert.Equal(1, _watchCalls);
    }

    [Fact]
    public async Task Work_ThatFindsNoWorkerWhileTheWatchIsParked_WakesIt()
    {
        using LogRecorder log = new();
        using WatchThread watch = new(log);
        using Workers workers = new(maxBusy: 1, loopCount: 1) { CallWatch = watch.Unpark };
        watch.Add(workers.OffLoop);
        watch.Unpark();
        await Timeouts.UntilAsync(() => watch.IsParked);
        HeldWork first = new();
        _all.Add(first);
        workers.OffLoop.Enqueue(first);
        await first.Thread.OrTimeout();

        HeldWork waits = new();
        _all.Add(waits);
        workers.OffLoop.Enqueue(waits);

        Assert.False((await waits.Thread.OrTimeout()).IsThreadPoolThread);
        first.Release();
    }

    private void Look(int times, Workers? workers = null)
    {
        for (int i = 0; i < times; i++)
        {
            ((IWatched)(workers ?? _workers).OffLoop).Look(WatchThread.Interval);
        }
    }

    private async Task<HeldWork> RunAsync()
    {
        HeldWork blocked = Enqueue();
        await blocked.Thread.OrTimeout();
        return blocked;
    }

    private HeldWork Enqueue()
    {
        HeldWork blocked = new();
        _all.Add(blocked);
        _workers.OffLoop.Enqueue(blocked);
        return blocked;
    }
}
