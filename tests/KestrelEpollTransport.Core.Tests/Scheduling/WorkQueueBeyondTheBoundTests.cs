using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>Expensive work on its way to workers, within the bound and beyond, beside a thread pool that is out of threads.</summary>
[Collection(RunsAlone.Name)]
public sealed class WorkQueueBeyondTheBoundTests : IDisposable
{
    /// <summary>The pool starts a few threads a second, so what waits behind so many that block does not run.</summary>
    private const int PoolBlockers = 2_000;

    private readonly ManualResetEventSlim _releasePool = new();
    private readonly CountdownEvent _poolLeft = new(PoolBlockers);
    private readonly Workers _workers = new(maxBusy: 1, loopCount: 1);

    public void Dispose()
    {
        _releasePool.Set();
        Assert.True(_poolLeft.Wait(Timeouts.Limit));
        _workers.Dispose();
        _poolLeft.Dispose();
        _releasePool.Dispose();
    }

    [Fact]
    public void Enqueue_AfterWorkersRanOutAndCameBack_DoesNotWaitForThePool()
    {
        using ManualResetEventSlim releaseFirst = new();
        using ManualResetEventSlim first = new();
        using ManualResetEventSlim second = new();
        using ManualResetEventSlim third = new();
        _workers.OffLoop.Enqueue(new Work(() =>
        {
            first.Set();
            releaseFirst.Wait(Timeouts.Limit);
        }));
        Assert.True(first.Wait(Timeouts.Limit));
        BlockPool();

        // Nobody is to be had for this one, and the worker that comes free takes it.
        _workers.OffLoop.Enqueue(new Work(second.Set));
        Assert.False(second.IsSet);
        releaseFirst.Set();
        Assert.True(second.Wait(Timeouts.Limit));
        Assert.True(SpinWait.SpinUntil(() => !_workers.IsExhausted, Timeouts.Limit));

        _workers.OffLoop.Enqueue(new Work(third.Set));

        Assert.True(third.Wait(TimeSpan.FromSeconds(5)), "Work waited for the thread pool while a worker rested.");
        Assert.False(_poolLeft.CurrentCount < PoolBlockers, "The thread pool was not blocked.");
    }

    private void BlockPool()
    {
        using ManualResetEventSlim blocked = new();
        for (int i = 0; i < PoolBlockers; i++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(
                _ =>
                {
                    blocked.Set();
                    _releasePool.Wait(Timeouts.Limit);
                    _poolLeft.Signal();
                },
                null);
        }

        Assert.True(blocked.Wait(Timeouts.Limit));
    }

    private sealed class Work(Action action) : IThreadPoolWorkItem
    {
        public void Execute() => action();
    }
}
