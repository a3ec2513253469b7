using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Tests.Loops;

/// <summary>
/// Every interleaving of the threads that drive a loop with the watch that takes it from one and gives it to the next.
/// </summary>
/// <remarks>
/// What is the driver's alone (the cursor of the batch) is read in one step and written in another, so that two threads that
/// believe to own the loop run an event twice, or none, or wait in the poller both.
/// </remarks>
public class PermitTests
{
    [Fact]
    public void Owner_ReturningWhileTheWatchHandsOver_LeavesOneDriver()
    {
        Seen seen = Explore(events: 2, looks: 2, workers: 1);

        Assert.True(seen.Taken > 0 && seen.Returned > 0, "One of the two always won.");
    }

    [Fact]
    public void Watch_LookingOftenEnoughToTakeTwice_LeavesOneDriver()
    {
        Seen seen = Explore(events: 2, looks: 4, workers: 2);

        Assert.Equal(2, seen.MostTaken);
    }

    [Fact]
    public void Watch_SeeingTwoDispatchesInTwoLooks_TakesNone()
    {
        // The watch's actor checks that what it takes is the dispatch that it has seen twice.
        Seen seen = Explore(events: 3, looks: 2, workers: 1);

        Assert.True(seen.TwoSeen > 0, "Every two looks saw one dispatch.");
    }

    [Fact]
    public void Stop_DuringAHandOver_EndsTheLoopOnce()
    {
        Seen seen = Explore(events: 1, looks: 2, workers: 1, stops: true);

        Assert.True(seen.Taken > 0 && seen.TakenAfterStop > 0, "Stopping and handing over never met.");
    }

    [Fact]
    public void Stop_WithAWorkerBlockedForEver_EndsTheLoopOnceByTheNext()
    {
        Seen seen = Explore(events: 2, looks: 2, workers: 1, stops: true, blocked: Blocked.ForEver);

        Assert.True(seen.TakenAfterStop > 0 && seen.Taken > seen.TakenAfterStop, "Handed off always before the stop, or always after it.");
    }

    [Fact]
    public void Owner_ReturningAfterTheLoopEnded_TouchesNothing()
    {
        Seen seen = Explore(events: 2, looks: 2, workers: 1, stops: true, blocked: Blocked.UntilTheLoopEnds);

        Assert.True(seen.Lost > 0, "It was never taken from.");
    }

    [Theory]
    // The cursor is not theirs any more, or the loop has two drivers.
    [InlineData(Fault.OwnerLooksAndThenActs, false)]
    [InlineData(Fault.OwnerLooksAndThenActs, true)]
    [InlineData(Fault.OwnerIgnoresTheLoss, false)]
    [InlineData(Fault.OwnerIgnoresTheLoss, true)]
    [InlineData(Fault.WatchLooksAndThenActs, false)]
    [InlineData(Fault.WatchLooksAndThenActs, true)]
    // A dispatch is taken that was never seen twice.
    [InlineData(Fault.WatchTakesWithoutTheTicket, false)]
    [InlineData(Fault.WatchTakesWithoutTheTicket, true)]
    // Taken, and nobody drives it.
    [InlineData(Fault.WatchTakesBeforeItHasAWorker, false)]
    internal void Fault_OfTheOwnerOrTheWatch_IsFound(Fault fault, bool stops) =>
        Assert.Throws<InterleavingException>(() => Explore(events: 2, looks: 2, workers: 1, stops, fault: fault));

    [Theory]
    // The order of disposal: the watch goes last, or a blocked loop has no end.
    [InlineData(Fault.WatchEndsWithTheStop, Blocked.ForEver)]
    [InlineData(Fault.OwnerIgnoresTheLoss, Blocked.UntilTheLoopEnds)]
    internal void Fault_OfAStopWithABlockedWorker_IsFound(Fault fault, Blocked blocked) =>
        Assert.Throws<InterleavingException>(() => Explore(events: 2, looks: 2, workers: 1, stops: true, blocked, fault));

    [Fact]
    public void TryTake_OfADispatchThatReturnedOrWasTaken_TakesNothing()
    {
        Permit permit = default;
        Assert.Equal(0, permit.Current);
        long first = permit.Begin();
        Assert.Equal(first, permit.Current);
        Assert.True(permit.TryEnd(first));
        Assert.Equal(0, permit.Current);
        Assert.False(permit.TryTake(first));

        long second = permit.Begin();
        Assert.NotEqual(first, second);
        Assert.False(permit.TryTake(first));
        Assert.True(permit.TryTake(second));
        Assert.Equal(0, permit.Current);
        Assert.False(permit.TryTake(second));
        Assert.False(permit.TryEnd(second));

        long third = permit.Begin();
        Assert.DoesNotContain(third, (long[])[first, second]);
        Assert.False(permit.TryEnd(second));
        Assert.True(permit.TryEnd(third));
    }

    private static Seen Explore(int events, int looks, int workers, bool stops = false, Blocked blocked = Blocked.No, Fault fault = Fault.None)
    {
        Seen seen = new();
        List<Actor<State>> actors =
        [
            new("owner", state => Drive(state, blocked, fault)),
            new("watch", state => Watch(state, looks, blocked, fault)),
            .. Enumerable.Range(1, workers).Select(i => new Actor<State>($"worker {i}", state => Work(state, fault))),
        ];
        if (stops)
        {
            actors.Add(new("disposal", Stop));
        }

        Interleavings.Explore(() => new State(events), state => Check(state, stops, blocked, seen), [.. actors]);
        return seen;
    }

    private static void Check(State state, bool stops, Blocked blocked, Seen seen)
    {
        // A loop that is stopped may drop what it was told; nothing ever runs twice.
        Assert.All(state.Runs, runs => Assert.InRange(runs, stops ? 0 : 1, 1));
        Assert.Equal(stops ? 1 : 0, state.Ends);
        Assert.Equal(stops ? 0 : 1, state.InPoller);
        Assert.Equal(blocked == Blocked.ForEver ? 0 : state.Taken, state.Lost);
        seen.Taken += state.Taken > 0 ? 1 : 0;
        seen.MostTaken = Math.Max(seen.MostTaken, state.Taken);
        seen.Lost += state.Lost;
        seen.Returned += state.Returned;
        seen.TwoSeen += state.TwoSeen;
        seen.TakenAfterStop += state.TakenAfterStop;
    }

    // As EventLoop.OnDrive, with one batch of events.
    private static IEnumerable<Step> Drive(State state, Blocked blocked, Fault fault)
    {
        yield return "OnDrive: stopping?";
        while (!state.Stopping)
        {
            while (true)
            {
                yield return "read the cursor";
                int cursor = state.Cursor;
                if (cursor == state.Runs.Length)
                {
                    break;
                }

                yield return "write the cursor, Begin";
                state.Cursor = cursor + 1;
                state.Dispatched = cursor;
                long dispatch = state.Permit.Begin();
                yield return new Step(
                    $"event {cursor}",
                    blocked == Blocked.No ? null : () => blocked == Blocked.UntilTheLoopEnds && state.Ends > 0,
                    MayStay: blocked == Blocked.ForEver);
                state.Runs[cursor]++;
                yield return "TryEnd";
                bool isOwner;
                if (fault == Fault.OwnerLooksAndThenActs)
                {
                    isOwner = state.Permit.Current == dispatch;
                    yield return "TryEnd acts";
                    _ = state.Permit.TryEnd(dispatch);
                }
                else
                {
                    isOwner = state.Permit.TryEnd(dispatch) || fault == Fault.OwnerIgnoresTheLoss;
                }

                if (!isOwner)
                {
                    state.Lost++;
                    yield break;
                }
            }

            state.InPoller++;
            yield return new Step("the wait returns: stopping?", () => state.WakePending, MayStay: true);
            state.WakePending = false;
            state.InPoller--;
        }

        state.Ends++;
    }

    // As Worker.Run.
    private static IEnumerable<Step> Work(State state, Fault fault)
    {
        yield return new Step("is given the loop", () => state.Given > 0, MayStay: true);
        state.Given--;
        foreach (Step step in Drive(state, Blocked.No, fault))
        {
            yield return step;
        }
    }

    // As LoopWatch and Workers.TryHandOff.
    private static IEnumerable<Step> Watch(State state, int looks, Blocked blocked, Fault fault)
    {
        long seen = 0;
        int seenEvent = -1;
        for (int i = 0; i < looks; i++)
        {
            // Where a dispatch blocks for ever there are as many looks as it takes.
            yield return new Step("look", blocked == Blocked.No ? null : () => state.Permit.Current != 0, MayStay: blocked != Blocked.No);
            if (fault == Fault.WatchEndsWithTheStop && state.Stopping)
            {
                yield break;
            }

            long dispatch = state.Permit.Current;
            if (dispatch == 0 || dispatch != seen)
            {
                state.TwoSeen += dispatch != 0 && seen != 0 ? 1 : 0;
                (seen, seenEvent) = (dispatch, state.Dispatched);
                continue;
            }

            yield return "TryTake";
            bool taken;
            if (fault == Fault.WatchLooksAndThenActs)
            {
                taken = state.Permit.Current == dispatch;
                yield return "TryTake acts";
                _ = state.Permit.TryTake(dispatch);
            }
            else
            {
                long ticket = fault == Fault.WatchTakesWithoutTheTicket ? state.Permit.Current : dispatch;
                taken = ticket != 0 && state.Permit.TryTake(ticket);
            }

            if (!taken)
            {
                state.Returned++;
                continue;
            }

            Assert.Equal(seenEvent, state.Dispatched);
            state.Taken++;
            state.TakenAfterStop += state.Stopping ? 1 : 0;
            if (fault != Fault.WatchTakesBeforeItHasAWorker)
            {
                yield return "give";
                state.Given++;
            }
        }
    }

    // As EventLoop.Stop.
    private static IEnumerable<Step> Stop(State state)
    {
        yield return "stop";
        state.Stopping = true;
        yield return "wake";
        state.WakePending = true;
    }

    internal enum Blocked
    {
        No,
        UntilTheLoopEnds,
        ForEver,
    }

    internal enum Fault
    {
        None,
        OwnerLooksAndThenActs,
        OwnerIgnoresTheLoss,
        WatchLooksAndThenActs,
        WatchTakesWithoutTheTicket,
        WatchTakesBeforeItHasAWorker,
        WatchEndsWithTheStop,
    }

    private sealed class Seen
    {
        public int Taken;
        public int MostTaken;
        public int Lost;
        public int Returned;
        public int TwoSeen;
        public int TakenAfterStop;
    }

    private sealed class State(int events)
    {
        public readonly int[] Runs = new int[events];
        public Permit Permit;
        public int Cursor;
        public int Dispatched;
        public int Given;
        public int Taken;
        public int Lost;
        public int Returned;
        public int TwoSeen;
        public int TakenAfterStop;
        public int InPoller;
        public int Ends;
        public bool Stopping;
        public bool WakePending;
    }
}
