namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>
/// Every interleaving of expensive work that comes with workers that leave: no work may wait while a worker rests. Beside them a loop may be
/// handed off, and the system may refuse threads; or the work only computes, and is held back while others do. Nothing goes to the
/// thread pool here: that could only hide what is stranded.
/// </summary>
public class OffLoopCallTests
{
    [Flags]
    public enum Fault
    {
        None = 0,

        /// <summary>Who is done does not look whether a call found nobody.</summary>
        ForgetsMissedCalls = 1,

        /// <summary>Who is refused a thread does not look whether a worker has come to rest meanwhile.</summary>
        ForgetsThoseThatRest = 2,

        /// <summary>A worker that was called looks first whether it is one too many.</summary>
        MayNotCome = 4,

        /// <summary>Who is done looks for more work while it still has its slot.</summary>
        GivesBackLate = 8,
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    public void Enqueue_AtTheBound_LeavesNothingToWaitWhileAWorkerRests(int workers, int works)
    {
        int missed = 0;
        Explore(workers, works, Fault.None, look: state => missed += state.CallsMissed);

        Assert.True(missed > 0, "The bound was never met.");
    }

    [Fact]
    public void Enqueue_WhileALoopIsHandedOver_LeavesNothingToWaitWhileAWorkerRests()
    {
        int taken = 0;
        int returned = 0;
        int left = 0;
        Explore(workers: 1, works: 1, Fault.None, handsOff: true, look: state =>
        {
            taken += state.IsTaken ? 1 : 0;
            returned += state.IsTaken ? 0 : 1;
            left += state.TooMany;
        });

        Assert.True(taken > 0 && returned > 0 && left > 0, $"{taken} taken, {returned} returned, {left} that were one too many.");
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    public void Enqueue_WhileTheSystemRefusesThreads_LeavesNothingToWaitWhileAWorkerRests(int workers, int works)
    {
        int refused = 0;
        Explore(workers, works, Fault.None, refusesThreads: true, look: state => refused += state.Refused);

        Assert.True(refused > 0, "No thread was refused.");
    }

    [Theory]
    [InlineData(1, 2, 1)]
    [InlineData(2, 2, 1)]
    public void Enqueue_OfWorkThatOnlyComputes_LeavesNothingToWait(int workers, int works, int slots)
    {
        int heldBack = 0;
        int tooMany = 0;
        Explore(workers, works, Fault.None, slots: slots, look: state =>
        {
            heldBack += state.HeldBack;
            tooMany += state.TooMany;
        });

        Assert.True(heldBack > 0, "Nothing was held back.");
        Assert.True(workers == slots || tooMany > 0, "Nobody was one too many.");
    }

    [Fact]
    public void Enqueue_WhileSomeoneGivesItsSlotBackLate_IsFoundStranded() =>
        Assert.Throws<InterleavingException>(() => Explore(workers: 1, works: 2, Fault.GivesBackLate, _ => { }, slots: 1));

    [Theory]
    [InlineData(Fault.ForgetsMissedCalls, 2, false, false)]
    [InlineData(Fault.ForgetsThoseThatRest, 1, false, true)]
    [InlineData(Fault.MayNotCome, 1, true, false)]
    public void Enqueue_WithAFault_IsFoundStranded(Fault fault, int works, bool handsOff, bool refusesThreads)
    {
        InterleavingException found = Assert.Throws<InterleavingException>(
            () => Explore(workers: 1, works, fault, _ => { }, handsOff, refusesThreads));

        Assert.Contains("TryCall", found.Message, StringComparison.Ordinal);
    }

    private static void Explore(
        int workers, int works, Fault fault, Action<State> look, bool handsOff = false, bool refusesThreads = false,
        int slots = int.MaxValue) => Interleavings.ExploreStates(
        // All have been called already, for nothing: they may leave at any moment. Who is refused threads is below its bound.
        () => new State
        {
            Fault = fault,
            HandsOff = handsOff,
            RefusesThreads = refusesThreads,
            Computes = slots < int.MaxValue,
            FreeSlots = slots,
            Bound = refusesThreads ? workers + 1 : workers,
            Busy = workers,
            Calls = workers,
            IsCalled = true,
        },
        state =>
        {
            Assert.Equal(0, state.Waiting);
            Assert.Equal(works, state.Run);
            Assert.Equal(0, state.Busy);
            Assert.Equal(0, state.Calls);
            Assert.False(state.IsCalled, "A flag that nobody will clear.");
            look(state);
        },
        [
            .. Enumerable.Range(1, workers).Select(i => new Actor<State>($"worker {i}", Work)),
            .. Enumerable.Range(1, works).Select(i => new Actor<State>($"work {i}", Enqueue)),
            .. handsOff ? (Actor<State>[])[new("watch", HandOver), new("driver", Drive)] : [],
        ]);

    // As WorkQueue.Enqueue.
    private static IEnumerable<Step> Enqueue(State state)
    {
        yield return "enqueue";
        state.Waiting++;
        foreach (Step step in CallOnce(state))
        {
            yield return step;
        }
    }

    // As WorkQueue.CallIfMoreWaits and CallOnce, and Workers.TryCall, whose lock is one step.
    private static IEnumerable<Step> CallOnce(State state)
    {
        if (state.Computes)
        {
            yield return "is more of use?";
            if (state.Waiting == 0 || state.FreeSlots == 0)
            {
                state.HeldBack += state.Waiting == 0 ? 0 : 1;
                yield break;
            }
        }

        yield return "take the flag";
        if (state.IsCalled)
        {
            yield break;
        }

        state.IsCalled = true;
        yield return "TryCall";
        if (state.Busy >= state.Bound)
        {
            state.MissCall();
            yield return "clear the flag for nobody";
            state.IsCalled = false;
            yield break;
        }

        state.Busy++;
        if (state.Resting > 0 || !state.RefusesThreads)
        {
            state.Resting = Math.Max(0, state.Resting - 1);
            state.Calls++;
            yield break;
        }

        yield return "is refused a thread";
        state.Refused++;
        if (state.Resting > 0 && !state.Fault.HasFlag(Fault.ForgetsThoseThatRest))
        {
            state.Resting--;
            state.Calls++;
        }
        else
        {
            state.Busy--;
            state.MissCall();
            yield return "clear the flag for nobody";
            state.IsCalled = false;
        }
    }

    // As Worker.Run.
    private static IEnumerable<Step> Work(State state)
    {
        while (true)
        {
            yield return new Step("is called", () => state.Calls > 0, MayStay: true);
            state.Calls--;
            if (state.HasReserve || !state.Fault.HasFlag(Fault.MayNotCome))
            {
                foreach (Step step in Drain(state))
                {
                    yield return step;
                }
            }

            yield return "TryRest";
            state.Rest();
        }
    }

    // As WorkQueue.Drain.
    private static IEnumerable<Step> Drain(State state)
    {
        yield return "clear the flag";
        state.IsCalled = false;
        foreach (Step step in state.Computes ? DrainWithSlots(state) : DrainAll(state))
        {
            yield return step;
        }

        // It leaves: does more wait, for others?
        if ((state.Computes && !state.SkipsLastLook) || (!state.Computes && state.Waiting > 0))
        {
            foreach (Step step in CallOnce(state))
            {
                yield return step;
            }
        }
    }

    private static IEnumerable<Step> DrainAll(State state)
    {
        while (true)
        {
            yield return "dequeue";
            if (state.Waiting == 0)
            {
                yield break;
            }

            state.Waiting--;
            state.Run++;
            yield return "does more wait?";
            if (state.Waiting > 0)
            {
                foreach (Step step in CallOnce(state))
                {
                    yield return step;
                }
            }

            if (!state.HandsOff)
            {
                continue;
            }

            yield return "one too many?";
            if (!state.HasReserve)
            {
                state.TooMany++;
                yield break;
            }
        }
    }

    private static IEnumerable<Step> DrainWithSlots(State state)
    {
        bool has = false;
        while (true)
        {
            yield return "does anything wait?";
            bool waits = state.Waiting > 0;
            if (has)
            {
                // The fault.
                yield return "give back, late";
                has = false;
                state.FreeSlots++;
                if (!waits)
                {
                    state.SkipsLastLook = true;
                    yield break;
                }
            }

            if (!waits)
            {
                yield break;
            }

            yield return "take a slot";
            if (state.FreeSlots == 0)
            {
                state.TooMany++;
                yield break;
            }

            state.FreeSlots--;
            yield return "dequeue";
            if (state.Waiting == 0)
            {
                yield return "give back for nothing";
                state.FreeSlots++;
                continue;
            }

            state.Waiting--;
            state.Run++;
            foreach (Step step in CallOnce(state))
            {
                yield return step;
            }

            has = state.Fault.HasFlag(Fault.GivesBackLate);
            if (!has)
            {
                yield return "give back";
                state.FreeSlots++;
            }
        }
    }

    // As Workers.TryHandOff. There is a thread for whoever wants one: it drives the loop, or rests.
    private static IEnumerable<Step> HandOver(State state)
    {
        yield return "TryReserve";
        state.Busy++;
        state.Resting = Math.Max(0, state.Resting - 1);
        yield return "TryTake";
        if (!state.HasReturned)
        {
            state.IsTaken = true;
            yield break;
        }

        yield return "TryRest";
        state.Rest();
    }

    // As Worker.Run with a loop: a dispatch that may be stuck for a moment.
    private static IEnumerable<Step> Drive(State state)
    {
        yield return "TryEnd";
        state.HasReturned = true;
        if (!state.IsTaken)
        {
            yield break;
        }

        yield return "is there a reserve?";
        if (state.HasReserve)
        {
            foreach (Step step in Drain(state))
            {
                yield return step;
            }
        }

        yield return "TryRest";
        state.Rest();
    }

    private sealed class State
    {
        public Fault Fault;
        public bool HandsOff;
        public bool RefusesThreads;
        public int Bound;
        public int FreeSlots;
        public bool Computes;
        public bool SkipsLastLook;
        public int HeldBack;
        public int Busy;
        public int Resting;
        public int Calls;
        public int Waiting;
        public int Run;
        public int CallsMissed;
        public int Refused;
        public int TooMany;
        public bool IsCalled;
        public bool CallMissed;
        public bool IsTaken;
        public bool HasReturned;

        public bool HasReserve => Busy <= Bound;

        public void MissCall()
        {
            CallMissed = true;
            CallsMissed++;
        }

        // As Workers.TryRest, whose lock is one step.
        public void Rest()
        {
            if (CallMissed && HasReserve && !Fault.HasFlag(Fault.ForgetsMissedCalls))
            {
                CallMissed = false;
                Calls++;
                return;
            }

            Busy--;
            Resting++;
        }
    }
}
