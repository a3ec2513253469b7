using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;
using KestrelEpollTransport.Scheduling;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>A system that refuses a thread in the moment in which a worker comes to rest.</summary>
public sealed class RefusedThreadTests : IDisposable
{
    private readonly LogRecorder _log = new();
    private readonly ManualResetEventSlim _release = new();
    private readonly Workers _workers;
    private Worker? _only;

    public RefusedThreadTests() => _workers = new Workers(maxBusy: 2, loopCount: 1)
    {
        IdleTimeout = TimeSpan.FromMinutes(5),
        StartThread = worker =>
        {
            if (Interlocked.CompareExchange(ref _only, worker, null) is null)
            {
                worker.Start();
                return;
            }

            // While the system thinks about it.
            _release.Set();
            Assert.True(SpinWait.SpinUntil(() => _workers!.Busy == 1, Timeouts.Limit));
            throw new InsufficientMemoryException("On purpose: no thread.");
        },
    };

    public void Dispose()
    {
        _release.Set();
        _workers.Dispose();
        _log.Dispose();
        _release.Dispose();
    }

    [Fact]
    public async Task TryCall_IsAnsweredByTheWorkerThatRests()
    {
        await OccupyAsync();

        Assert.True(_workers.TryCall());
        await Timeouts.UntilAsync(() => _workers.Busy == 0);
    }

    [Fact]
    public async Task TryHandOff_GivesTheLoopToTheWorkerThatRests()
    {
        await OccupyAsync();
        EventLoop loop = new(0, Poller.Create(), _log, EventLoop.DriveOnThread);
        using ManualResetEventSlim unstick = new();
        EventLoop.DriveOnThread(loop.Seats[0]);
        try
        {
            TaskCompletionSource stuck = new(TaskCreationOptions.RunContinuationsAsynchronously);
            loop.Post(new TestWork(() =>
            {
                stuck.SetResult();
                unstick.Wait(Timeouts.Limit + Timeouts.Limit);
            }));
            await stuck.Task.OrTimeout();

            Assert.NotNull(_workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: true));

            TaskCompletionSource ran = new(TaskCreationOptions.RunContinuationsAsynchronously);
            loop.Post(new TestWork(ran.SetResult));
            await ran.Task.OrTimeout();
        }
        finally
        {
            unstick.Set();
            loop.Stop();
            loop.WaitForEnd(Timeouts.Limit);
        }
    }

    private async Task OccupyAsync()
    {
        TaskCompletionSource busy = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _workers.OffLoop.Enqueue(new TestWork(() =>
        {
            busy.SetResult();
            _release.Wait(Timeouts.Limit + Timeouts.Limit);
        }));
        await busy.Task.OrTimeout();
    }
}
