using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Tests.Locking;

public class UninterruptedTests
{
    [Fact]
    public async Task Hold_OfALockThatAnotherThreadHolds_OnAnInterruptedThread_WaitsAndKeepsTheInterrupt()
    {
        Lock contended = new();
        TaskCompletionSource<bool> interrupted = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Thread waiter = new(() =>
        {
            Thread.CurrentThread.Interrupt();
            using (contended.Hold())
            {
                Assert.True(contended.IsHeldByCurrentThread);
            }

            interrupted.SetResult(IsInterrupted());
        })
        { IsBackground = true };

        using (contended.Hold())
        {
            waiter.Start();

            // Interrupted a second time, where it waits again.
            Assert.True(SpinWait.SpinUntil(() => (waiter.ThreadState & ThreadState.WaitSleepJoin) != 0, Timeouts.Limit));
            waiter.Interrupt();
        }

        Assert.True(await interrupted.Task.OrTimeout());
        Assert.False(contended.IsHeldByCurrentThread);
    }

    [Fact]
    public void Hold_OfAFreeLock_OnAnInterruptedThread_KeepsTheInterrupt()
    {
        Lock free = new();
        Thread.CurrentThread.Interrupt();
        using (free.Hold())
        {
            Assert.True(free.IsHeldByCurrentThread);
        }

        Assert.False(free.IsHeldByCurrentThread);
        Assert.True(IsInterrupted());
    }

    [Fact]
    public void Wait_ThatIsInterrupted_LastsForTheTimeThatIsLeft()
    {
        using ManualResetEventSlim never = new();
        List<TimeSpan> waits = [];
        Thread.CurrentThread.Interrupt();

        bool set = Uninterrupted.Wait(never, TimeSpan.FromMilliseconds(50), (on, left) =>
        {
            waits.Add(left);
            return on.Wait(left);
        });

        Assert.False(set);
        Assert.Equal(2, waits.Count);
        Assert.InRange(waits[1], TimeSpan.Zero, waits[0]);
        Assert.True(IsInterrupted());
    }

    [Fact]
    public void Wait_WithoutALimit_IsRepeatedWithoutOne()
    {
        List<TimeSpan> waits = [];

        bool set = Uninterrupted.Wait(waits, Timeout.InfiniteTimeSpan, static (seen, left) =>
        {
            seen.Add(left);
            return seen.Count == 1 ? throw new ThreadInterruptedException() : true;
        });

        Assert.True(set);
        Assert.Equal([Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan], waits);
        Assert.True(IsInterrupted());
    }

    // Takes the interrupt, so that no other test gets it.
    private static bool IsInterrupted()
    {
        try
        {
            Thread.Sleep(1);
            return false;
        }
        catch (ThreadInterruptedException)
        {
            return true;
        }
    }
}
