using System.Diagnostics.CodeAnalysis;
using KestrelEpollTransport.Scheduling;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>Dear work that computes, and a watch that looks when the test says so.</summary>
public sealed class ComputingWorkTests : IDisposable
{
    private const int MaxWorkers = 6;

    private readonly List<HeldWork> _all = [];
    private Workers _workers;
    private ComputingSlots _slots;
    private int _watchCalls;

    public ComputingWorkTests() => _workers = Create(slots: 1);

    public void Dispose()
    {
        _all.ForEach(static work => work.Release());
        _workers.Dispose();
    }

    [Fact]
    public async Task Work_WhileAsManyComputeAsCan_IsTakenByWhoIsDone()
    {
        HeldWork first = await RunAsync(mayBlock: false);

        HeldWork waits = Enqueue(mayBlock: false);

        Assert.Equal(1, _watchCalls);
        Assert.Equal(1, _workers.Busy);
        first.Release();
        Assert.Same(await first.Thread, await waits.Thread.OrTimeout());
    }

    [Fact]
    public async Task Work_ThatMayBlock_GetsAThreadHoweverManyRun()
    {
        await RunAsync(mayBlock: false);
        await RunAsync(mayBlock: true);
        await RunAsync(mayBlock: true);

        Assert.Equal(3, _workers.Busy);
        Assert.Equal(0, _watchCalls);
    }

    [Fact]
    public async Task Work_BesideThreadsThatAreBlocked_GetsAThread()
    {
        await RunAsync(mayBlock: true);
        await RunAsync(mayBlock: true);

        await RunAsync(mayBlock: false);

        Assert.Equal(0, _watchCalls);
    }

    [Fact]
    public async Task WorkThatMayBlock_BehindWorkThatIsHeldBack_DoesNotSetThatFree()
    {
        await RunAsync(mayBlock: false);
        HeldWork[] held = [Enqueue(mayBlock: false), Enqueue(mayBlock: false), Enqueue(mayBlock: false)];

        await RunAsync(mayBlock: true);

        Assert.Equal(2, _workers.Busy);
        Assert.DoesNotContain(held, static work => work.Thread.IsCompleted);
    }

    [Fact]
    public async Task Work_ThatBlocksUnexpectedly_HoldsBackUntilItIsSeen()
    {
        _workers.Dispose();
        _workers = Create(slots: 2);
        HeldWork[] blocked = [await RunAsync(mayBlock: false), await RunAsync(mayBlock: false)];
        await Task.WhenAll(blocked.Select(static work => work.IsBlockedAsync()));
        HeldWork[] wait = [Enqueue(mayBlock: false), Enqueue(mayBlock: false), Enqueue(mayBlock: false)];

        Look();
        Look();
        Assert.Equal(2, _workers.Busy);
        Look();

        // All that were blocked at once, and the slots are those of the next.
        await Task.WhenAll(wait[..2].Select(static work => work.IsBlockedAsync()));
        Assert.Equal(4, _workers.Busy);
        Assert.False(wait[2].Thread.IsCompleted);
        LookUntilSeen();
        await wait[2].Thread.OrTimeout();
    }

    [Fact]
    public async Task Look_ThatIsLate_ProvesLittle()
    {
        HeldWork blocked = await RunAsync(mayBlock: false);
        await blocked.IsBlockedAsync();
        HeldWork waits = Enqueue(mayBlock: false);

        for (int i = 0; i < 5; i++)
        {
            ((IWatched)_workers.OffLoop).Look(TimeSpan.Zero);
            Assert.Equal(1, _workers.Busy);
        }

        ((IWatched)_workers.OffLoop).Look(TimeSpan.Zero);
        await waits.Thread.OrTimeout();
    }

    [Fact]
    public async Task Work_ThatComputes_KeepsItsSlotUntilOthersHaveWaitedForLong()
    {
        HeldWork spins = new(spins: true);
        _all.Add(spins);
        _workers.OffLoop.Enqueue(spins, mayBlock: false);
        await spins.Thread.OrTimeout();
        HeldWork waits = Enqueue(mayBlock: false);

        for (int i = 0; i < ComputingSlot.ComputingFactor; i++)
        {
            Look();
            Assert.Equal(1, _workers.Busy);
        }

        Look();
        await waits.Thread.OrTimeout();
    }

    [Fact]
    public async Task Work_BehindWhatBlocksUnexpectedly_FlowsOnceTheWatchHasSeenIt()
    {
        HeldWork blocked = await RunAsync(mayBlock: false);
        await blocked.IsBlockedAsync();
        using CountdownEvent left = new(100);
        for (int i = 0; i < 100; i++)
        {
            _workers.OffLoop.Enqueue(new TestWork(() => left.Signal()), isQuick: false, mayBlock: false);
        }

        LookUntilSeen();

        Assert.True(left.Wait(Timeouts.Limit), $"{left.CurrentCount} wait for more looks.");
    }

    [Fact]
    public async Task Thread_ThatIsOneTooManyToCompute_LeavesTheRestToTheOthers()
    {
        HeldWork first = await RunAsync(mayBlock: false);
        await first.IsBlockedAsync();
        HeldWork second = Enqueue(mayBlock: false);
        HeldWork third = Enqueue(mayBlock: false);
        LookUntilSeen();
        await second.Thread.OrTimeout();

        // It has lost its slot, and the second one has it.
        first.Release();
        await Timeouts.UntilAsync(() => _workers.Busy == 1);
        second.Release();

        Assert.Same(await second.Thread, await third.Thread.OrTimeout());
    }

    [Fact]
    public async Task Work_HeldBackWhileAllWorkersAreStuck_GoesToThePool()
    {
        HeldWork spins = new(spins: true);
        _all.Add(spins);
        _workers.OffLoop.Enqueue(spins, mayBlock: false);
        await spins.Thread.OrTimeout();
        for (int i = 1; i < MaxWorkers; i++)
        {
            await RunAsync(mayBlock: true);
        }

        HeldWork waits = Enqueue(mayBlock: false);
        HeldWork waitsToo = Enqueue(mayBlock: false);
        for (int i = 0; i <= OffLoopQueue.LooksPerCall; i++)
        {
            Look();
        }

        Assert.True((await waits.Thread.OrTimeout()).IsThreadPoolThread);

        // It has the one slot until it is seen blocked: a stall is no reason for more threads than processors to compute.
        Assert.False(_slots.TryTake(out _));
        await waits.IsBlockedAsync();
        LookUntilSeen();
        Assert.True((await waitsToo.Thread.OrTimeout()).IsThreadPoolThread);
    }

    [Fact]
    public async Task Slot_OfAThreadThatWaitsForTheNextOneToStart_IsNotJudged()
    {
        TaskCompletionSource firstMayStart = new();
        TaskCompletionSource othersMayStart = new();
        ComputingSlots slots = new(2);
        int starts = 0;
        _workers.Dispose();
        _workers = new Workers(MaxWorkers, loopCount: 1, slots)
        {
            CallWatch = () => _watchCalls++,
            StartThread = worker =>
            {
                (Interlocked.Increment(ref starts) == 1 ? firstMayStart : othersMayStart).Task.Wait(Timeouts.Limit + Timeouts.Limit);
                worker.Start();
            },
        };
        Task<HeldWork> first = Task.Run(() => Enqueue(mayBlock: false));
        await Timeouts.UntilAsync(() => _workers.Busy == 1);
        HeldWork second = Enqueue(mayBlock: false);
        Enqueue(mayBlock: false);

        // It takes a slot, and waits for the thread that it has called.
        firstMayStart.SetResult();
        await Timeouts.UntilAsync(() => _workers.Busy == 2);
        for (int i = 0; i < 3 * ComputingSlot.ComputingFactor; i++)
        {
            Look();
        }

        bool hasOne = slots.TryTake(out SlotLease other);
        bool hasTwo = slots.TryTake(out SlotLease freed);
        other.GiveBack();
        freed.GiveBack();
        othersMayStart.SetResult();
        Assert.Equal((true, false), (hasOne, hasTwo));
        await (await first.OrTimeout()).Thread.OrTimeout();
        await second.Thread.OrTimeout();
    }

    [Fact]
    public async Task Work_HeldBackWhenTheTransportEnds_GetsThreads()
    {
        await RunAsync(mayBlock: false);
        HeldWork waits = Enqueue(mayBlock: false);
        HeldWork waitsToo = Enqueue(mayBlock: false);

        _workers.Dispose();

        await waits.Thread.OrTimeout();
        await waitsToo.Thread.OrTimeout();
        await RunAsync(mayBlock: false);
    }

    [MemberNotNull(nameof(_slots))]
    private Workers Create(int slots)
    {
        _slots = new ComputingSlots(slots);
        return new Workers(MaxWorkers, loopCount: 1, _slots) { CallWatch = () => _watchCalls++ };
    }

    private void Look() => ((IWatched)_workers.OffLoop).Look(WatchThread.Interval);

    // Once to know it, and twice in a row blocked.
    private void LookUntilSeen()
    {
        Look();
        Look();
        Look();
    }

    private async Task<HeldWork> RunAsync(bool mayBlock)
    {
        HeldWork work = Enqueue(mayBlock);
        await work.Thread.OrTimeout();
        return work;
    }

    private HeldWork Enqueue(bool mayBlock)
    {
        HeldWork work = new();
        _all.Add(work);
        _workers.OffLoop.Enqueue(work, isQuick: false, mayBlock);
        return work;
    }
}
