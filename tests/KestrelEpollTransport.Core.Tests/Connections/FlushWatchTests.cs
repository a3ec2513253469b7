using System.Collections.Concurrent;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Scheduling;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>How bytes that are due are sent.</summary>
public class FlushWatchTests
{
    [Fact]
    public async Task Look_WhileDearWorkWaits_SendsBeforeThatRuns()
    {
        using LogRecorder log = new();
        using WatchThread thread = new(log);
        Worker? called = null;
        using Workers workers = new(maxBusy: 2, loopCount: 1)
        {
            // The first one comes when the test says so, and the next one not at all: one thread runs everything.
            StartThread = worker => Interlocked.CompareExchange(ref called, worker, null),
        };
        FlushWatch watch = new(thread, workers, log);
        thread.Add(watch);
        ConcurrentQueue<string> ran = new();
        TaskCompletionSource all = new(TaskCreationOptions.RunContinuationsAsynchronously);
        workers.OffLoop.Enqueue(new TestWork(() => Run("dear")));
        watch.Add(new Flush(isDue: true, () => Run("flush")));

        // Looked at in turn: the one before it is on its way.
        Flush next = new(isDue: false, static () => { });
        watch.Add(next);
        await next.Looked.Task.OrTimeout();
        called!.Start();
        await all.Task.OrTimeout();

        Assert.Equal(["flush", "dear"], ran);

        void Run(string what)
        {
            ran.Enqueue(what);
            if (ran.Count == 2)
            {
                all.SetResult();
            }
        }
    }

    [Fact]
    public async Task Look_WhenWorkersRanOutAsTheyWereGivenTheFlush_SendsItselfAndOnce()
    {
        using LogRecorder log = new();
        using WatchThread thread = new(log);
        Worker? called = null;
        using Workers workers = new(maxBusy: 1, loopCount: 1) { StartThread = worker => called = worker };
        FlushWatch watch = new(thread, workers, log);
        thread.Add(watch);
        int sent = 0;
        TaskCompletionSource<string?> sender = new(TaskCreationOptions.RunContinuationsAsynchronously);

        watch.Add(new Flush(isDue: true, () =>
        {
            sent++;
            sender.TrySetResult(Thread.CurrentThread.Name);
        }));

        // The only worker there may be was called for it, and does not come.
        Assert.Equal("epoll watch", await sender.Task.OrTimeout());
        TaskCompletionSource late = new(TaskCreationOptions.RunContinuationsAsynchronously);
        workers.OffLoop.Enqueue(new TestWork(late.SetResult));
        called!.Start();
        await late.Task.OrTimeout();
        Assert.Equal(1, sent);
    }

    [Fact]
    public async Task Flush_ThatAWorkerWasGiven_IsLookedAtUntilItHasBegun()
    {
        using LogRecorder log = new();
        using WatchThread thread = new(log);
        Worker? called = null;
        using Workers workers = new(maxBusy: 2, loopCount: 1) { StartThread = worker => called = worker };
        IWatched watch = Create(thread, workers, log, out Task sent);
        watch.Look(WatchThread.Interval);

        // The workers may run out before it comes.
        Assert.False(watch.IsQuiet);
        called!.Start();
        await sent.OrTimeout();
        watch.Look(WatchThread.Interval);
        Assert.True(watch.IsQuiet);
    }

    [Fact]
    public void Look_WhereTheSystemRefusesThreadsAndThePoolDoesNotCome_SendsItself()
    {
        using LogRecorder log = new();
        using WatchThread thread = new(log);
        using Workers workers = new(maxBusy: 2, loopCount: 1)
        {
            StartThread = static _ => throw new InsufficientMemoryException("On purpose: no thread."),
            QueueToPool = static _ => { },
        };
        IWatched watch = Create(thread, workers, log, out Task sent);
        watch.Look(WatchThread.Interval);
        Assert.False(sent.IsCompleted);

        watch.Look(WatchThread.Interval);

        Assert.True(sent.IsCompleted);
    }

    // With a flush that is due. The test looks, and not the thread.
    private static FlushWatch Create(WatchThread thread, Workers workers, LogRecorder log, out Task sent)
    {
        TaskCompletionSource sends = new(TaskCreationOptions.RunContinuationsAsynchronously);
        FlushWatch watch = new(thread, workers, log);
        watch.Add(new Flush(isDue: true, sends.SetResult));
        sent = sends.Task;
        return watch;
    }

    private sealed class Flush(bool isDue, Action send) : IWatchedFlush
    {
        public TaskCompletionSource Looked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool IsDue()
        {
            Looked.SetResult();
            return isDue;
        }

        public void SendDue() => send();
    }
}
