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
        using Workers workers = new(maxBusy: 1, loopCount: 1);
        EventLoop loop = new(0, Poller.Create(), log, EventLoop.DriveOnThread);
        EventLoop.DriveOnThread(loop.Seats[0]);
        HeldWork first = new(), stuck = new(), waiting = new();
        try
        {
            workers.OffLoop.Enqueue(first);
            await first.Thread.OrTimeout();
            loop.Post(new TestWork(stuck.Execute));
            await stuck.Thread.OrTimeout();
            Assert.Null(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: false));
            Assert.NotNull(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: true));
            Assert.Equal(2, workers.Busy);
            workers.OffLoop.Enqueue(waiting);

            first.Release();

            await Timeouts.UntilAsync(() => workers.Busy == 1);
            Assert.False(waiting.Thread.IsCompleted);
        }
        finally
        {
            Array.ForEach([first, stuck, waiting], static work => work.Release());
            loop.Stop();
            loop.WaitForEnd(Timeouts.Limit);
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
        EventLoop loop = new(0, Poller.Create(), log, EventLoop.DriveOnThread);
        EventLoop.DriveOnThread(loop.Seats[0]);
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
