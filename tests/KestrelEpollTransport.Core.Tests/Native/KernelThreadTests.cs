using KestrelEpollTransport.Native;
using KestrelEpollTransport.Tests.Scheduling;

namespace KestrelEpollTransport.Tests.Native;

public class KernelThreadTests
{
    [Fact]
    public void Thread_ThatAsksAboutItself_Runs() => Assert.True(KernelThread.Current.IsRunnable());

    [Fact]
    public async Task Thread_ThatWaits_IsBlocked()
    {
        KernelThread? waiting = null;
        HeldWork work = new();
        Thread thread = new(() =>
        {
            waiting = KernelThread.Current;
            work.Execute();
        });
        thread.Start();
        await work.Thread.OrTimeout();
        await Timeouts.UntilAsync(() => waiting!.IsRunnable() == false);

        work.Release();
        thread.Join();
    }

    [Fact]
    public async Task Thread_OfWhichNothingCanBeRead_IsNotSaidToBeBlocked()
    {
        KernelThread? ended = null;
        Thread thread = new(() => ended = KernelThread.Current);
        thread.Start();
        thread.Join();

        // Joined before the kernel has forgotten it.
        await Timeouts.UntilAsync(() => ended!.IsRunnable() is null);
    }
}
