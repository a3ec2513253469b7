namespace KestrelEpollTransport.Tests.Scheduling;

/// <summary>
/// Every interleaving of dear work that comes with workers that leave, while the thread pool, called at the bound, never gets
/// a thread: no work may wait while a worker rests.
/// </summary>
public class OffLoopCallTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    public void Enqueue_WithAPoolThatNeverComes_LeavesNothingToWaitWhileAWorkerRests(int workers, int works)
    {
        int missed = 0;
        Explore(workers, works, answersMissedCalls: true, state => missed += state.CallsMissed);

        Assert.True(missed > 0, "The bound was never met.");
    }

    [Fact]
    public void Enqueue_WhereAMissedCallIsNotAnswered_IsFoundStranded()
    {
        // Wrong on purpose: the pool was called, and until it comes nobody else is.
        InterleavingException found = Assert.Throws<InterleavingException>(
            () => Explore(workers: 1, works: 2, answersMissedCalls: false, _ => { }));

        Assert.Contains("TryCall", found.Message, StringComparison.Ordinal);
    }

    private static void Explore(int workers, int works, bool answersMissedCalls, Action<State> look) => Interleavings.Explore(
        // All have been called already, for nothing: they may leave at any moment.
        () => new State { Bound = workers, Busy = workers, Calls = workers, IsCalled = true },
        state =>
        {
            Assert.Equal(0, state.Waiting);
            Assert.Equal(works, state.Run);
            Assert.Equal(0, state.Busy);
            look(state);
        },
        [
            .. Enumerable.Range(1, workers).Select(i => new Actor<State>($"worker {i}", state => Work(state, answersMissedCalls))),
            .. Enumerable.Range(1, works).Select(i => new Actor<State>($"work {i}", Enqueue)),
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

    // As WorkQueue.CallOnce, OffLoopQueue.CallThread and Workers.TryCall, whose lock is one step.
    private static IEnumerable<Step> CallOnce(State state)
    {
        yield return "take the flag";
        if (state.IsCalled)
        {
            yield break;
        }

        state.IsCalled = true;
        yield return "TryCall";
        if (state.Busy < state.Bound)
        {
            state.Busy++;
            state.Calls++;
        }
        else
        {
            state.CallMissed = true;
            state.CallsMissed++;
        }
    }

    // As Worker.Run, WorkQueue.Drain and Workers.TryRest, whose lock is one step.
    private static IEnumerable<Step> Work(State state, bool answersMissedCalls)
    {
        while (true)
        {
            yield return new Step("is called", () => state.Calls > 0, MayStay: true);
            state.Calls--;
            yield return "clear the flag";
            state.IsCalled = false;
            while (true)
            {
                yield return "dequeue";
                if (state.Waiting == 0)
                {
                    break;
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
            }

            yield return "TryRest";
            if (state.CallMissed && answersMissedCalls)
            {
                state.CallMissed = false;
                state.Calls++;
            }
            else
            {
                state.Busy--;
            }
        }
    }

    private sealed class State
    {
        public int Bound;
        public int Busy;
        public int Calls;
        public int Waiting;
        public int Run;
        public int CallsMissed;
        public bool IsCalled;
        public bool CallMissed;
    }
}
