using System.Diagnostics;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Tests.Native;

[Collection(RunsAlone.Name)]
public class ThreadUsageTests
{
    [Fact]
    public void Sleeping_IsCounted_AndUsesNoProcessor()
    {
        ThreadUsage before = ThreadUsage.OfThisThread()!.Value;
        Thread.Sleep(50);
        ThreadUsage after = ThreadUsage.OfThisThread()!.Value;

        Assert.InRange(after.Sleeps, before.Sleeps + 1, long.MaxValue);
        Assert.InRange(after.ProcessorTicks - before.ProcessorTicks, 1, Stopwatch.Frequency / 40);
    }

    [Fact]
    public void OfAnotherThread_IsNotCounted()
    {
        // A thread that has just begun has not used what this one has.
        long sleeps = 0;
        for (int i = 0; i < 20; i++)
        {
            Thread.Sleep(1);
        }

        ThreadUsage mine = ThreadUsage.OfThisThread()!.Value;
        Thread other = new(() => sleeps = ThreadUsage.OfThisThread()!.Value.Sleeps);
        other.Start();
        other.Join();

        Assert.InRange(mine.Sleeps, 20, long.MaxValue);
        Assert.InRange(sleeps, 0, 19);
    }
}
