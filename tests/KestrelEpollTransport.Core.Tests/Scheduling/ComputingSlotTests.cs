using KestrelEpollTransport.Native;
using KestrelEpollTransport.Scheduling;
using KestrelEpollTransport.Tests.Loops;

namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>Every interleaving of two threads that want one slot and a watch that frees it from under them.</summary>
public class ComputingSlotTests
{
    [Fact]
    public void Slot_IsOneThreadsAtATime_AndFreeInTheEnd()
    {
        int shared = 0;
        int freedByWatch = 0;
        int refused = 0;
        Interleavings.Explore(
            static () => new State(),
            state =>
            {
                Assert.False(state.Slot.IsTaken);
                Assert.Equal(0, state.Holders);
                shared += state.Given == 2 ? 1 : 0;
                freedByWatch += state.FreedByWatch;
                refused += state.Refused;
            },
            new Actor<State>("one", Use),
            new Actor<State>("two", Use),
            new Actor<State>("watch", Free));

        Assert.True(shared > 0 && freedByWatch > 0 && refused > 0, $"{shared} shared, {freedByWatch} freed, {refused} refused.");
    }

    [Fact]
    public void Free_UnderANumberThatIsOver_LeavesTheNextOneItsSlot()
    {
        ComputingSlot slot = new();
        long first = slot.TryTake();
        Assert.True(slot.TryFree(first));
        long second = slot.TryTake();

        Assert.False(slot.TryFree(first));

        Assert.NotEqual(first, second);
        Assert.True(slot.IsTaken);
        Assert.True(slot.TryFree(second));
    }

    [Fact]
    public void Look_BeforeTheThreadHasSaidWhoItIs_FreesNothing()
    {
        ComputingSlot slot = new();
        slot.TryTake();

        for (int i = 0; i < 10; i++)
        {
            Assert.False(slot.Look(WatchThread.Interval));
        }

        Assert.True(slot.IsTaken);
    }

    [Fact]
    public void Begin_UnderANumberThatWasGivenBack_DoesNotHideTheNextOne()
    {
        ComputingSlot slot = new();
        TestWork work = new(static () => { });
        long first = slot.TryTake();
        slot.TryFree(first);
        long second = slot.TryTake();
        slot.Begin(second, work);

        slot.Begin(first, work);

        slot.Look(WatchThread.Interval);
        Assert.True(slot.Look(WatchThread.Interval * ComputingSlot.ComputingFactor));
        Assert.False(slot.IsTaken);
    }

    [Fact]
    public async Task Slot_OfAThreadOfWhichNothingCanBeRead_IsKeptAsByOneThatComputes()
    {
        ComputingSlot slot = new();
        KernelThread? ended = null;
        Thread thread = new(() =>
        {
            ended = KernelThread.Current;
            slot.Begin(slot.TryTake(), new TestWork(static () => { }));
        });
        thread.Start();
        thread.Join();
        await Timeouts.UntilAsync(() => ended!.IsRunnable() is null);

        for (int i = 0; i < ComputingSlot.ComputingFactor; i++)
        {
            Assert.False(slot.Look(WatchThread.Interval));
        }

        Assert.True(slot.Look(WatchThread.Interval));
    }

    private static IEnumerable<Step> Use(State state)
    {
        yield return "take";
        long number = state.Slot.TryTake();
        if (number == 0)
        {
            state.Refused++;
            yield break;
        }

        // The watch may have taken it from another one, who does not know yet.
        Assert.Equal(0, state.Holders);
        state.Holders = 1;
        state.Holder = number;
        state.Given++;
        yield return "begin";
        state.Slot.Begin(number, new TestWork(static () => { }));
        yield return "give back";
        if (state.Slot.TryFree(number))
        {
            Assert.Equal(number, state.Holder);
            state.Holders = 0;
        }
        else
        {
            Assert.NotEqual((1, number), (state.Holders, state.Holder));
        }
    }

    // As Look, of a thread that it finds blocked at once.
    private static IEnumerable<Step> Free(State state)
    {
        for (int i = 0; i < 2; i++)
        {
            yield return "look";
            long number = state.Holders == 1 ? state.Holder : 0;
            if (number == 0)
            {
                continue;
            }

            yield return "free";
            if (state.Slot.TryFree(number))
            {
                Assert.Equal(number, state.Holder);
                state.Holders = 0;
                state.FreedByWatch++;
            }
        }
    }

    private sealed class State
    {
        public readonly ComputingSlot Slot = new();
        public int Holders;
        public long Holder;
        public int Given;
        public int Refused;
        public int FreedByWatch;
    }
}
