using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Scheduling;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Scheduling;

public class SchedulingPartsTests
{
    [Fact]
    public async Task Loop_ThatIsStuckWhileTheSendingOfMarkedBytesIsToo_IsHandedOver()
    {
        using LogRecorder log = new();
        using ManualResetEventSlim release = new();
        EpollTransportOptions options = new() { LoopCount = 1, Scheduling = ApplicationScheduling.Adaptive };
        using SchedulingParts parts = new(options, log);
        try
        {
            // Sending returns blocks to the application's memory pool, and may log: either may block.
            StuckFlush flush = new(release);
            FlushWatch flushes = new(parts.Watch, parts.Workers, log);
            parts.Watch.Add(flushes);
            flushes.Add(flush);
            await flush.Looked.Task.OrTimeout();

            parts.Loops.Loops[0].Post(new TestWork(() => release.Wait(Timeouts.Limit + Timeouts.Limit)));
            TaskCompletionSource ran = new(TaskCreationOptions.RunContinuationsAsynchronously);
            parts.Loops.Loops[0].Post(new TestWork(ran.SetResult));

            await ran.Task.OrTimeout();
        }
        finally
        {
            release.Set();
        }
    }

    [Fact]
    public async Task Loop_ThatIsStuckBeforeItEverSlept_IsHandedOver()
    {
        using LogRecorder log = new();
        using ManualResetEventSlim release = new();
        EpollTransportOptions options = new()
        {
            LoopCount = 1,
            Scheduling = ApplicationScheduling.Adaptive,
            SpinBeforeWait = TimeSpan.FromSeconds(1),
        };
        using SchedulingParts parts = new(options, log);
        try
        {
            EventLoop loop = parts.Loops.Loops[0];
            loop.Post(new TestWork(() => release.Wait(Timeouts.Limit + Timeouts.Limit)));
            TaskCompletionSource ran = new(TaskCreationOptions.RunContinuationsAsynchronously);
            loop.Post(new TestWork(ran.SetResult));

            await ran.Task.OrTimeout();
        }
        finally
        {
            release.Set();
        }
    }

    private sealed class StuckFlush(ManualResetEventSlim release) : IWatchedFlush
    {
        public TaskCompletionSource Looked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool IsDue() => true;

        public void SendDue()
        {
            Looked.SetResult();
            release.Wait(Timeouts.Limit + Timeouts.Limit);
        }
    }
}
