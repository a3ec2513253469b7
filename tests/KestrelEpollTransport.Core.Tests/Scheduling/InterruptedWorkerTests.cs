using KestrelEpollTransport.Scheduling;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Scheduling;

public class InterruptedWorkerTests
{
    [Fact]
    public async Task Worker_ThatApplicationCodeInterrupts_LivesOnOrEnds()
    {
        using Workers workers = new(maxBusy: 1, loopCount: 1);
        for (int i = 0; i < 3; i++)
        {
            // It strikes at the next wait, which may be the worker's own for more work: nobody catches it there.
            TaskCompletionSource ran = new(TaskCreationOptions.RunContinuationsAsynchronously);
            workers.OffLoop.Enqueue(new TestWork(() =>
            {
                Thread.CurrentThread.Interrupt();
                ran.SetResult();
            }));
            await ran.Task.OrTimeout();
            await Timeouts.UntilAsync(() => workers.Busy == 0);
        }
    }
}
