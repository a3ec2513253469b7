using System.Globalization;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Scheduling;

public class WorkQueueTests
{
    [Fact]
    public void Enqueue_BehindWorkThatBlocks_BeforeTheItemRuns_IsStillRun()
    {
        // Both are in the queue when the worker that was called begins, unless it is very quick: so, many rounds.
        for (int round = 0; round < 50; round++)
        {
            using Workers workers = new(maxBusy: 8, loopCount: 1);
            WorkQueue queue = workers.OffLoop;
            using ManualResetEventSlim release = new();
            using ManualResetEventSlim ran = new();
            using CountdownEvent left = new(2);
            queue.Enqueue(new Work(() =>
            {
                queue.Enqueue(new Work(() => Block(release, left)));
                queue.Enqueue(new Work(ran.Set));
                Block(release, left);
            }));

            bool inTime = ran.Wait(TimeSpan.FromSeconds(5));
            release.Set();
            Assert.True(left.Wait(Timeouts.Limit));
            Assert.True(inTime, $"Round {round}: work waited behind work that blocks.");
        }

        static void Block(ManualResetEventSlim release, CountdownEvent left)
        {
            release.Wait();
            left.Signal();
        }
    }

    [Fact]
    public void Enqueue_OfQuickWork_RunsBeforeWhatWaited()
    {
        WorkQueue queue = Held();
        List<string> ran = [];
        queue.Enqueue(new Work(() => ran.Add("slow 1")));
        queue.Enqueue(new Work(() => ran.Add("slow 2")));
        queue.Enqueue(new Work(() => ran.Add("quick")), WorkLane.Quick);

        queue.Drain(ThreadBaseline.Capture());

        Assert.Equal(["quick", "slow 1", "slow 2"], ran);
    }

    [Fact]
    public void Waiting_CountsTheWorkOfEveryLane()
    {
        WorkQueue queue = Held();
        queue.Enqueue(new Work(static () => { }));
        queue.Enqueue(new Work(static () => { }), WorkLane.Quick);
        queue.Enqueue(new Work(static () => { }), WorkLane.Quick);
        queue.Enqueue(new Work(static () => { }), WorkLane.Long);
        Assert.Equal(4, queue.Waiting);

        queue.Drain(ThreadBaseline.Capture());

        Assert.Equal(0, queue.Waiting);
    }

    [Fact]
    public void Enqueue_OfQuickWorkForEver_RunsWhatWaitedAllTheSame()
    {
        const int Endless = 1_000;
        WorkQueue queue = Held();
        int quick = 0;
        int[] before = new int[3];
        for (int i = 0; i < before.Length; i++)
        {
            int slow = i;
            queue.Enqueue(new Work(() => before[slow] = quick));
        }

        // Two at a time, so that there is always one that waits.
        queue.Enqueue(new Work(RunQuick), WorkLane.Quick);
        queue.Enqueue(new Work(RunQuick), WorkLane.Quick);
        queue.Drain(ThreadBaseline.Capture());

        Assert.Equal([8, 16, 24], before);

        void RunQuick()
        {
            if (++quick < Endless)
            {
                queue.Enqueue(new Work(RunQuick), WorkLane.Quick);
            }
        }
    }

    [Fact]
    public async Task LongWork_RunsOnSoManyThreadsAndNoMore_WhileOtherWorkGoesOn()
    {
        using Workers workers = new(maxBusy: 8, loopCount: 1, maxLong: 2);
        HeldWork[] held = [.. Enumerable.Range(0, 4).Select(static _ => new HeldWork())];
        Array.ForEach(held, work => workers.OffLoop.Enqueue(work, WorkLane.Long));
        await Task.WhenAll(held[0].Thread, held[1].Thread).OrTimeout();

        HeldWork slow = new();
        workers.OffLoop.Enqueue(slow);
        await slow.Thread.OrTimeout();
        Assert.False(held[2].Thread.IsCompleted || held[3].Thread.IsCompleted);
        held[0].Release();
        await held[2].Thread.OrTimeout();
        Assert.False(held[3].Thread.IsCompleted);

        held[1].Release();
        await held[3].Thread.OrTimeout();
        held[2].Release();
        held[3].Release();
        slow.Release();
    }

    [Fact]
    public async Task LongWork_BehindLongWorkThatNeverEnds_GetsAPlaceMoreAfterSomeLooks_UntilOneEnds()
    {
        int calls = 0;
        using Workers workers = new(maxBusy: 8, loopCount: 1, maxLong: 1) { CallWatch = () => calls++ };
        HeldWork[] work = [.. Enumerable.Range(0, 4).Select(static _ => new HeldWork())];
        workers.OffLoop.Enqueue(work[0], WorkLane.Long);
        await work[0].Thread.OrTimeout();
        Assert.Equal(0, calls);

        // The watch may be parked.
        workers.OffLoop.Enqueue(work[1], WorkLane.Long);
        Assert.Equal(1, calls);
        workers.OffLoop.Enqueue(work[2], WorkLane.Long);
        workers.OffLoop.Enqueue(work[3], WorkLane.Long);
        for (int next = 1; next <= 2; next++)
        {
            Look(WorkQueue.LooksPerPlace - 1);
            Assert.False(work[next].Thread.IsCompleted);
            Look(1);
            Assert.False((await work[next].Thread.OrTimeout()).IsThreadPoolThread);
        }

        // One ends: two are as many as there were, and more than there are to be.
        work[0].Release();
        await Timeouts.UntilAsync(() => workers.Busy == 2);
        Assert.False(work[3].Thread.IsCompleted);
        work[1].Release();
        await Timeouts.UntilAsync(() => workers.Busy == 1);
        Assert.False(work[3].Thread.IsCompleted);
        work[2].Release();
        await work[3].Thread.OrTimeout();
        work[3].Release();

        void Look(int times)
        {
            for (int i = 0; i < times; i++)
            {
                ((IWatched)workers.OffLoop).Look(WatchThread.Interval);
            }
        }
    }

    [Fact]
    public async Task LongWork_WhereNobodyLooksAnyMore_HasNoLimit()
    {
        using Workers workers = new(maxBusy: 8, loopCount: 1, maxLong: 1) { CallWatch = static () => { } };
        HeldWork stuck = new();
        HeldWork waits = new();
        workers.OffLoop.Enqueue(stuck, WorkLane.Long);
        await stuck.Thread.OrTimeout();
        workers.OffLoop.Enqueue(waits, WorkLane.Long);

        workers.Dispose();

        Assert.True((await waits.Thread.OrTimeout()).IsThreadPoolThread);
        stuck.Release();
        waits.Release();
    }

    [Fact]
    public void LongAndSlowWork_RunInTurns()
    {
        WorkQueue queue = Held();
        List<string> ran = [];
        for (int i = 1; i <= 2; i++)
        {
            int number = i;
            queue.Enqueue(new Work(() => ran.Add($"slow {number}")));
            queue.Enqueue(new Work(() => ran.Add($"long {number}")), WorkLane.Long);
        }

        queue.Drain(ThreadBaseline.Capture());

        Assert.Equal(["long 1", "slow 1", "long 2", "slow 2"], ran);
    }

    [Fact]
    public async Task Enqueue_FromManyThreads_RunsEachOnce()
    {
        const int Threads = 8;
        const int Each = 2_000;
        using Workers workers = new(maxBusy: 8, loopCount: 1);
        WorkQueue queue = workers.OffLoop;
        int[] runs = new int[Threads * Each];
        CountdownEvent left = new(runs.Length);
        TaskCompletionSource all = new(TaskCreationOptions.RunContinuationsAsynchronously);

        Task[] producers = [.. Enumerable.Range(0, Threads).Select(thread => Task.Run(() =>
        {
            for (int i = 0; i < Each; i++)
            {
                int index = (thread * Each) + i;
                queue.Enqueue(new Work(() =>
                {
                    Interlocked.Increment(ref runs[index]);
                    if (left.Signal())
                    {
                        all.SetResult();
                    }
                }));
            }
        }))];
        await Task.WhenAll(producers).OrTimeout();
        await all.Task.OrTimeout();

        Assert.All(runs, count => Assert.Equal(1, count));
    }

    [Fact]
    public async Task Enqueue_OneAtATimeToAQueueThatFallsIdle_IsNeverStranded()
    {
        using Workers workers = new(maxBusy: 8, loopCount: 1);
        WorkQueue queue = workers.OffLoop;
        for (int i = 0; i < 2_000; i++)
        {
            // No asynchronous continuation: the next one is enqueued while the worker finds the queue empty.
            TaskCompletionSource ran = new();
            queue.Enqueue(new Work(ran.SetResult));
            await ran.Task.OrTimeout();
        }
    }

    [Fact]
    public async Task Enqueue_BehindWorkThatBlocks_RunsNevertheless()
    {
        using Workers workers = new(maxBusy: 8, loopCount: 1);
        WorkQueue queue = workers.OffLoop;
        using ManualResetEventSlim release = new();
        TaskCompletionSource blocks = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource blockEnded = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource[] others = [.. Enumerable.Range(0, 20).Select(_ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously))];

        queue.Enqueue(new Work(() =>
        {
            blocks.SetResult();
            bool released = release.Wait(Timeouts.Limit + Timeouts.Limit);
            blockEnded.SetResult();
            Assert.True(released);
        }));
        try
        {
            foreach (TaskCompletionSource other in others[..10])
            {
                queue.Enqueue(new Work(other.SetResult));
            }

            await blocks.Task.OrTimeout();
            foreach (TaskCompletionSource other in others[10..])
            {
                queue.Enqueue(new Work(other.SetResult));
            }

            await Task.WhenAll(others.Select(other => other.Task)).OrTimeout();
            Assert.False(blockEnded.Task.IsCompleted, "It did not block while the others ran.");
        }
        finally
        {
            release.Set();
        }

        await blockEnded.Task.OrTimeout();
    }

    [Fact]
    public async Task Drain_AfterWorkThatChangedItsThread_ShowsTheNextAFreshOne()
    {
        AsyncLocal<string> local = new();
        CultureInfo culture = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        using Workers workers = new(maxBusy: 1, loopCount: 1);
        WorkQueue queue = workers.OffLoop;
        int sameThread = 0;

        // Enqueued by work of the queue itself, so that one worker runs both.
        for (int round = 0; round < 200; round++)
        {
            TaskCompletionSource<(string? Local, SynchronizationContext? Context, CultureInfo Culture, int Thread)> seen =
                new(TaskCreationOptions.RunContinuationsAsynchronously);
            int first = 0;
            queue.Enqueue(new Work(() =>
            {
                first = Environment.CurrentManagedThreadId;
                queue.Enqueue(new Work(() => seen.SetResult(
                    (local.Value, SynchronizationContext.Current, CultureInfo.CurrentCulture, Environment.CurrentManagedThreadId))));
                local.Value = "of the first";
                CultureInfo.CurrentCulture = culture;
                SynchronizationContext.SetSynchronizationContext(new SynchronizationContext());
            }));

            (string? value, SynchronizationContext? context, CultureInfo seenCulture, int thread) = await seen.Task.OrTimeout();
            Assert.Null(value);
            Assert.Null(context);
            Assert.NotSame(culture, seenCulture);
            sameThread += thread == first ? 1 : 0;
        }

        Assert.True(sameThread > 0, "No two ran on one thread: nothing was shown.");
    }

    // Nobody comes when it calls: the test does.
    private static WorkQueue Held() => new Workers(maxBusy: 1, loopCount: 1, maxLong: 2) { StartThread = static _ => { } }.OffLoop;

    private sealed class Work(Action action) : IThreadPoolWorkItem
    {
        public void Execute() => action();
    }
}
