using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Scheduling;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>The threads of adaptive scheduling, without a watch: the test hands loops over.</summary>
public sealed class WorkersTests : IDisposable
{
    private readonly List<Blocker> _blockers = [];
    private readonly List<IDisposable> _disposables = [];

    public void Dispose()
    {
        _blockers.ForEach(static blocker => blocker.Release());
        _disposables.ForEach(static disposable => disposable.Dispose());
    }

    [Fact]
    public async Task Enqueue_WorkThatBlocks_GrowsToTheBoundAndThenWaitsForAWorker()
    {
        Workers workers = Create(maxBusy: 3, loopCount: 1);

        Blocker? blocker = null;
        for (int i = 1; i <= 3; i++)
        {
            blocker = await BlockAsync(workers);
            Assert.False(blocker.Thread!.IsThreadPoolThread);
            Assert.Equal(Workers.ThreadName, blocker.Thread.Name);
            Assert.Equal(i, workers.Busy);
            Assert.Equal(i, workers.Count);
            Assert.Equal(i == 3, workers.IsExhausted);
        }

        Assert.False(workers.TryCall());
        Blocker beyond = Track(new Blocker());
        workers.OffLoop.Enqueue(beyond);
        Assert.True(workers.HasReserve);
        Assert.False(beyond.Blocks.Task.IsCompleted);

        blocker!.Release();
        await beyond.Blocks.Task.OrTimeout();
        Assert.Same(blocker.Thread, beyond.Thread);
        Assert.Equal(3, workers.Count);
        Assert.True(workers.HasReserve);
    }

    [Fact]
    public async Task Enqueue_WhileSeveralRest_TakesTheOneThatRestedLast()
    {
        Workers workers = Create(maxBusy: 3, loopCount: 1);
        Blocker[] first = [await BlockAsync(workers), await BlockAsync(workers), await BlockAsync(workers)];
        foreach (int i in (int[])[2, 0, 1])
        {
            int busy = workers.Busy;
            first[i].Release();
            await Timeouts.UntilAsync(() => workers.Busy == busy - 1);
        }

        Assert.Same(first[1].Thread, (await BlockAsync(workers)).Thread);
        Assert.Same(first[0].Thread, (await BlockAsync(workers)).Thread);
        Assert.Same(first[2].Thread, (await BlockAsync(workers)).Thread);
        Assert.Equal(3, workers.Count);
    }

    [Fact]
    public async Task Worker_WithoutWorkForTheIdleTime_EndsAndAnotherIsStartedWhenNeeded()
    {
        Workers workers = Create(maxBusy: 1, loopCount: 1, idle: TimeSpan.FromMilliseconds(20));
        Blocker blocker = await BlockAsync(workers);
        blocker.Release();

        Assert.True(blocker.Thread!.Join(Timeouts.Limit));
        Assert.Equal(0, workers.Count);
        Assert.Equal(0, workers.Busy);
        Assert.NotSame(blocker.Thread, (await BlockAsync(workers)).Thread);
    }

    [Fact]
    public async Task Worker_TakenWhenItsIdleTimeIsOver_WaitsForWhatItIsGiven()
    {
        // Taken by who starts it, and given its work much later than it would wait for some: it does not end.
        Workers workers = Create(maxBusy: 1, loopCount: 1, idle: TimeSpan.FromMilliseconds(1), start: worker =>
        {
            worker.Start();
            worker.Join(TimeSpan.FromMilliseconds(100));
        });

        Blocker blocker = await BlockAsync(workers);

        Assert.Equal(Workers.ThreadName, blocker.Thread!.Name);
        Assert.Equal(1, workers.Count);
        blocker.Release();
        Assert.True(blocker.Thread.Join(Timeouts.Limit));
        Assert.Equal(0, workers.Count);
    }

    [Fact]
    public async Task TryHandOff_OfAStuckLoop_GoesOnWithTheRestOfThePassElsewhere()
    {
        Workers workers = Create(maxBusy: 2, loopCount: 1);
        EventLoop loop = CreateLoops(workers, 1)[0];
        Blocker stuck = Track(new Blocker());
        TaskCompletionSource<Thread> rest = new(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(new TestWork(() =>
        {
            // Both in one pass.
            loop.Post(stuck);
            loop.Post(new TestWork(() => rest.SetResult(Thread.CurrentThread)));
        }));
        await stuck.Blocks.Task.OrTimeout();
        Assert.Equal(0, workers.Busy);

        Assert.Same(stuck, workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: true));

        Thread next = await rest.Task.OrTimeout();
        Assert.NotSame(stuck.Thread, next);
        Assert.Equal(loop.Name, next.Name);
        Assert.Equal(1, workers.Busy);

        // The former one comes back to the others, as if it had never had a loop.
        stuck.Release();
        await Timeouts.UntilAsync(() => workers.Busy == 0);
        Blocker dear = await BlockAsync(workers);
        Assert.Same(stuck.Thread, dear.Thread);
        Assert.Equal(Workers.ThreadName, dear.Thread!.Name);
        Assert.Equal(2, workers.Count);
    }

    [Fact]
    public async Task TryHandOff_OfADispatchThatReturned_TakesNothingAndKeepsTheWorker()
    {
        Workers workers = Create(maxBusy: 2, loopCount: 1);
        EventLoop loop = CreateLoops(workers, 1)[0];
        Blocker returns = await BlockAsync(loop);
        long dispatch = loop.Seats[0].CurrentDispatch;
        returns.Release();
        Blocker next = await BlockAsync(loop);

        Assert.Null(workers.TryHandOff(loop.Seats[0], dispatch, isLast: true));

        Assert.Same(returns.Thread, next.Thread);
        Assert.Equal(0, workers.Busy);
        Assert.Equal(2, workers.Count);
        await BlockAsync(workers);
        Assert.Equal(2, workers.Count);
    }

    [Fact]
    public async Task TryHandOff_WithDearWorkAtItsBound_HasOneWorkerMoreForEachLoop()
    {
        Workers workers = Create(maxBusy: 1, loopCount: 2);
        EventLoop[] loops = CreateLoops(workers, 2);
        await BlockAsync(workers);
        Assert.True(workers.IsExhausted && workers.HasReserve);
        Blocker[] stuck = [await BlockAsync(loops[0]), await BlockAsync(loops[1])];

        foreach (EventLoop loop in loops)
        {
            Assert.NotNull(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: true));
            Assert.False(workers.HasReserve);
            Assert.False(workers.TryCall());
        }

        Assert.Equal(3, workers.Busy);
        Blocker third = await BlockAsync(loops[0]);
        await BlockAsync(loops[1]);
        Assert.Null(workers.TryHandOff(loops[0].Seats[0], loops[0].Seats[0].CurrentDispatch, isLast: true));
        Assert.Equal(3, workers.Busy);

        // As soon as one is back, the next look succeeds.
        stuck[0].Release();
        await Timeouts.UntilAsync(() => workers.Busy == 2);
        Assert.Same(third, workers.TryHandOff(loops[0].Seats[0], loops[0].Seats[0].CurrentDispatch, isLast: true));
    }

    [Fact]
    public async Task TryHandOff_OnASystemWithoutThreads_LeavesTheLoopWithItsWorker()
    {
        bool fails = false;
        Workers workers = Create(maxBusy: 2, loopCount: 1, start: worker =>
        {
            if (Volatile.Read(ref fails))
            {
                throw new InsufficientMemoryException("On purpose: no thread.");
            }

            worker.Start();
        });
        EventLoop loop = CreateLoops(workers, 1)[0];
        Blocker stuck = await BlockAsync(loop);
        Volatile.Write(ref fails, true);

        Assert.Null(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: true));
        Blocker dear = await BlockAsync(workers);

        Assert.True(dear.Thread!.IsThreadPoolThread);
        Assert.Equal(0, workers.Busy);
        Assert.Equal(1, workers.Count);
        using LoopGroup second = new(1, workers.Drive, new LogRecorder());
        Assert.ThrowsAny<OutOfMemoryException>(() => second.Loops.Length);

        stuck.Release();
        Assert.Same(stuck.Thread, (await BlockAsync(loop)).Thread);
        Assert.Equal(1, workers.Count);
    }

    [Fact]
    public async Task TryHandOff_OfALoopThatStops_NeedsNoReserve()
    {
        Workers workers = Create(maxBusy: 1, loopCount: 1);
        EventLoop loop = CreateLoops(workers, 1)[0];
        await BlockAsync(workers);
        await BlockAsync(loop);
        Assert.NotNull(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: true));
        await BlockAsync(loop);
        Assert.Null(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: true));

        loop.Stop();

        Assert.NotNull(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: false));
        Assert.True(loop.WaitForEnd(Timeouts.Limit));
    }

    [Fact]
    public async Task TryHandOff_OfALoopThatStopsOnASystemWithoutThreads_HasThePoolRunWhatWaits()
    {
        bool fails = false;
        Workers workers = Create(maxBusy: 2, loopCount: 1, start: worker =>
        {
            if (Volatile.Read(ref fails))
            {
                throw new InsufficientMemoryException("On purpose: no thread.");
            }

            worker.Start();
        });
        EventLoop loop = CreateLoops(workers, 1)[0];
        await BlockAsync(loop);
        Volatile.Write(ref fails, true);
        TaskCompletionSource<bool> ran = new(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(new TestWork(() => ran.SetResult(Thread.CurrentThread.IsThreadPoolThread)));
        loop.Stop();

        Assert.Null(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: true));

        Assert.True(await ran.Task.OrTimeout());
    }

    [Fact]
    public async Task TryHandOff_OfADispatchThatReturnedWhileTheWorkersEnd_EndsTheOneThatIsNotNeeded()
    {
        Workers? workers = null;
        Thread? last = null;
        bool ends = false;
        workers = Create(maxBusy: 2, loopCount: 1, start: worker =>
        {
            last = new Thread(worker.Run) { IsBackground = true };
            last.Start();
            if (ends)
            {
                workers!.Dispose();
            }
        });
        EventLoop loop = CreateLoops(workers, 1)[0];
        Blocker returns = await BlockAsync(loop);
        long dispatch = loop.Seats[0].CurrentDispatch;
        returns.Release();
        await Timeouts.UntilAsync(() => loop.Seats[0].CurrentDispatch == 0);
        ends = true;

        Assert.Null(workers.TryHandOff(loop.Seats[0], dispatch, isLast: true));

        Assert.NotSame(returns.Thread, last);
        Assert.True(last!.Join(Timeouts.Limit));
    }

    [Fact]
    public async Task Dispose_EndsThoseThatRestAndDoesNotWaitForThoseThatBlock()
    {
        Workers workers = Create(maxBusy: 3, loopCount: 1);
        Blocker rests = await BlockAsync(workers);
        Blocker blocks = await BlockAsync(workers);
        rests.Release();
        await Timeouts.UntilAsync(() => workers.Busy == 1);

        workers.Dispose();

        Assert.False(rests.Thread!.IsAlive);
        Assert.Equal(1, workers.Count);
        Assert.False(blocks.IsReleased);
        blocks.Release();
        Assert.True(blocks.Thread!.Join(Timeouts.Limit));

        // What comes late is run, and keeps nobody.
        Blocker late = await BlockAsync(workers);
        late.Release();
        await Timeouts.UntilAsync(() => workers.Count == 0 && workers.Busy == 0);
    }

    [Fact]
    public async Task Dispose_OfLoopsWithAWorkerThatBlocks_EndsTheLoopItLost()
    {
        Workers workers = Create(maxBusy: 1, loopCount: 1);
        using LoopGroup group = new(1, workers.Drive, new LogRecorder());
        EventLoop loop = group.Loops[0];
        Blocker stuck = await BlockAsync(loop);
        Assert.NotNull(workers.TryHandOff(loop.Seats[0], loop.Seats[0].CurrentDispatch, isLast: true));

        group.Dispose();
        workers.Dispose();

        Assert.True(loop.HasEnded);
        Assert.False(stuck.IsReleased);
        stuck.Release();
        Assert.True(stuck.Thread!.Join(Timeouts.Limit));
        await Timeouts.UntilAsync(() => workers.Count == 0 && workers.Busy == 0);
    }

    private Workers Create(int maxBusy, int loopCount, TimeSpan? idle = null, Action<Worker>? start = null)
    {
        Workers workers = new(maxBusy, loopCount)
        {
            // Longer than any test: nobody ends by itself.
            IdleTimeout = idle ?? TimeSpan.FromMinutes(5),
            StartThread = start ?? (static worker => worker.Start()),
        };
        _disposables.Add(workers);
        return workers;
    }

    // Disposed before the workers.
    private EventLoop[] CreateLoops(Workers workers, int count)
    {
        LoopGroup group = new(count, workers.Drive, new LogRecorder());
        _disposables.Insert(0, group);
        return group.Loops;
    }

    private async Task<Blocker> BlockAsync(Workers workers)
    {
        Blocker blocker = Track(new Blocker());
        workers.OffLoop.Enqueue(blocker);
        await blocker.Blocks.Task.OrTimeout();
        return blocker;
    }

    private async Task<Blocker> BlockAsync(EventLoop loop)
    {
        Blocker blocker = Track(new Blocker());
        loop.Post(blocker);
        await blocker.Blocks.Task.OrTimeout();
        return blocker;
    }

    private Blocker Track(Blocker blocker)
    {
        _blockers.Add(blocker);
        return blocker;
    }

    /// <summary>Keeps the thread that runs it until it is released.</summary>
    private sealed class Blocker : ILoopWork
    {
        private readonly TaskCompletionSource _release = new();

        public TaskCompletionSource Blocks { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Thread? Thread { get; private set; }

        public bool IsReleased => _release.Task.IsCompleted;

        public void Release() => _release.TrySetResult();

        public void Execute()
        {
            Thread = Thread.CurrentThread;
            Blocks.SetResult();
            _release.Task.Wait(Timeouts.Limit + Timeouts.Limit);
        }
    }
}
