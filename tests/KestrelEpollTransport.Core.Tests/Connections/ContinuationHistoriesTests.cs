using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Connections;

public class ContinuationHistoriesTests
{
    [Fact]
    public void Of_OneKind_IsOneHistory_AndAnotherOfAnother()
    {
        ContinuationHistories histories = new(Create);

        Assert.Same(histories.Of(typeof(int)), histories.Of(typeof(int)));
        Assert.NotSame(histories.Of(typeof(int)), histories.Of(typeof(long)));
        Assert.NotSame(histories.Of(typeof(int)), histories.Starts);
    }

    [Fact]
    public void Of_OnAThreadThatIsInterruptedInIt_AnswersAndKeepsTheInterrupt()
    {
        int created = 0;
        ContinuationHistories histories = new(() =>
        {
            if (++created == 2)
            {
                // As a lock of the table that another thread holds: waits where the interrupt strikes.
                Thread.CurrentThread.Interrupt();
                Thread.Sleep(Timeout.Infinite);
            }

            return Create();
        });

        DispatchHistory history = histories.Of(typeof(int));

        Assert.Equal(3, created);
        Assert.Same(history, histories.Of(typeof(int)));
        Assert.Throws<ThreadInterruptedException>(() => Thread.Sleep(0));
    }

    private static DispatchHistory Create() => new(TimeSpan.FromMicroseconds(100), new SchedulingCounters(1));
}
