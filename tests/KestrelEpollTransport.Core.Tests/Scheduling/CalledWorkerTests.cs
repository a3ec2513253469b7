using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Polling;
using KestrelEpollTransport.Scheduling;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Scheduling;

public class CalledWorkerTests
{
    [Fact]
    public void WorkerThatIsDone_AfterACallFoundNobody_AnswersThatCall()
    {
        Worker? only = null;
        using Workers workers = new(maxBusy: 1, loopCount: 1) { StartThread = worker => only = worker, CallWatch = static () => { } };
        Assert.True(workers.TryCall());
        Assert.False(workers.TryCall());

        Assert.True(workers.TryRest(only!, wasBusy: true));

        Assert.Equal(1, workers.Busy);
        Assert.True(workers.TryRest(only!, wasBusy: true));
        Assert.Equal(0, workers.Busy);
    }

    [Fact]
    public async Task WorkerThatIsDone_AndIsOneTooMany_GoesBackToTheReserveAlthoughWorkWaits()
    {
        using LogRecorder log = new();
        using ManualResetEventSlim first = new(), others = new();
        using Workers workers = new(maxBusy: 1, loopCount: 1);
        EventLoop loop = new(0, Poller.Create(), log, LoopThread.Drive);
        LoopThread.Drive(loop.Seats[0]);
        try
        {
            await BlockAsync(work => workers.OffLoop.Enqueue(work), first);
            await BlockAsync(work => loop.Post(work), others);
            Assert.Null(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: false));
            Assert.NotNull(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: true));
            Assert.Equal(2, workers.Busy);
            Task waiting = BlockAsync(work => workers.OffLoop.Enqueue(work), others);

            first.Set();

            await Timeouts.UntilAsync(() => workers.Busy == 1);
            Assert.False(waiting.IsCompleted);
        }
        finally
        {
            first.Set();
            others.Set();
            loop.Stop();
            loop.WaitForEnd(Timeouts.Limit);
        }

        static Task BlockAsync(Action<TestWork> run, ManualResetEventSlim until)
        {
            TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
            run(new TestWork(() =>
            {
                begun.SetResult();
                until.Wait(Timeouts.Limit + Timeouts.Limit);
            }));
            return begun.Task.OrTimeout();
        }
    }

    [Fact]
    public async Task WorkerThatWasCalled_ComingAfterAHandOverTookTheReserve_RunsTheWorkAllTheSame()
    {
        using LogRecorder log = new();
        using ManualResetEventSlim release = new();
        Worker? called = null;
        using Workers workers = new(maxBusy: 1, loopCount: 1)
        {
            // The first one comes when the test says so.
            StartThread = worker =>
            {
                if (Interlocked.CompareExchange(ref called, worker, null) is not null)
                {
                    worker.Start();
                }
            },
        };
        EventLoop loop = new(0, Poller.Create(), log, LoopThread.Drive);
        LoopThread.Drive(loop.Seats[0]);
        try
        {
            TaskCompletionSource ran = new(TaskCreationOptions.RunContinuationsAsynchronously);
            workers.OffLoop.Enqueue(new TestWork(ran.SetResult));
            TaskCompletionSource stuck = new(TaskCreationOptions.RunContinuationsAsynchronously);
            loop.Post(new TestWork(() =>
            {
                stuck.SetResult();
                release.Wait(Timeouts.Limit + Timeouts.Limit);
            }));
            await stuck.Task.OrTimeout();
            Assert.NotNull(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: true));
            Assert.False(workers.HasReserve);

            called!.Start();

            await ran.Task.OrTimeout();
        }
        finally
        {
            release.Set();
            loop.Stop();
            loop.WaitForEnd(Timeouts.Limit);
        }
    }
}
