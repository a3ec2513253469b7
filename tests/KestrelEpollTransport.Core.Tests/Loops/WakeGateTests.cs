using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Tests.Loops;

/// <summary>Every interleaving of a loop that goes to sleep with those who post to it.</summary>
public class WakeGateTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Post_AgainstALoopThatFallsAsleep_IsAlwaysRun(int posters)
    {
        int slept = 0;
        Interleavings.Explore(
            () => new State(),
            state =>
            {
                Assert.Equal(posters, state.Run);
                slept += state.Sleeps;
            },
            [new Actor<State>("loop", state => Loop(state, looksAgain: true)), .. Posters(posters)]);

        Assert.True(slept > 0, "The loop never slept.");
    }

    [Fact]
    public void Post_TwoToASleepingLoop_WakeItOnce()
    {
        static IEnumerable<Step> Nothing(State state)
        {
            yield return "sleep on";
        }

        int count = Interleavings.Explore(
            () =>
            {
                State state = new();
                state.Gate.BeginSleep();
                return state;
            },
            state => Assert.Equal(1, state.Wakes),
            [new Actor<State>("loop", Nothing), .. Posters(2)]);

        Assert.True(count > 1);
    }

    [Fact]
    public void Post_ToALoopThatDoesNotLookAgain_IsFoundStranded()
    {
        // Wrong on purpose: sleeps without the second look.
        InterleavingException found = Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => new State(),
            state => Assert.Equal(1, state.Run),
            [new Actor<State>("loop", state => Loop(state, looksAgain: false)), .. Posters(1)]));

        Assert.Contains("BeginSleep", found.Message, StringComparison.Ordinal);
    }

    private static IEnumerable<Actor<State>> Posters(int count) =>
        Enumerable.Range(1, count).Select(i => new Actor<State>($"poster {i}", Post));

    // As EventLoop.Wait and TryFinishPass.
    private static IEnumerable<Step> Loop(State state, bool looksAgain)
    {
        while (true)
        {
            yield return "is the queue empty?";
            if (state.Queued == 0)
            {
                yield return "BeginSleep";
                state.Gate.BeginSleep();
                if (looksAgain)
                {
                    yield return "is it still?";
                }

                if (state.Queued == 0 || !looksAgain)
                {
                    yield return new Step("the wait returns", () => state.WakePending, MayStay: true);
                    state.WakePending = false;
                    state.Sleeps++;
                }

                yield return "EndSleep";
                state.Gate.EndSleep();
            }

            yield return "run what is posted";
            state.Run += state.Queued;
            state.Queued = 0;
        }
    }

    // As EventLoop.Post.
    private static IEnumerable<Step> Post(State state)
    {
        yield return "enqueue";
        state.Queued++;
        yield return "TryTakeWake";
        if (state.Gate.TryTakeWake())
        {
            yield return "wake";
            state.WakePending = true;
            state.Wakes++;
        }
    }

    private sealed class State
    {
        public WakeGate Gate;
        public int Queued;
        public int Run;
        public int Wakes;
        public int Sleeps;
        public bool WakePending;
    }
}
