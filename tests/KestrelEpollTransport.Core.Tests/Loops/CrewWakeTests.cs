using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Tests.Loops;

/// <summary>Every interleaving of a loop that goes to sleep with those who post to it: the bit of the crew's word that says so.</summary>
public class CrewWakeTests
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
                Assert.True(state.Crew.TryBeginPoll());
                state.Crew.BeginSleep();
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

    [Fact]
    public void Word_OfALoopThatPolls_SaysThatItIsAtRestOnlyWhileItSleeps()
    {
        Crew crew = new(maxSeats: 2);
        Assert.True(crew.TryBeginPoll());
        Assert.False(crew.IsAtRest);
        Assert.False(crew.TryTakeWake());
        crew.BeginSleep();
        Assert.True(crew.IsAtRest);
        Assert.True(crew.TryCall(out int seat));
        Assert.False(crew.IsAtRest);
        crew.Come();
        Assert.True(crew.TryLeave(seat, declines: false));
        Assert.True(crew.IsAtRest);

        crew.EndPoll();

        Assert.False(crew.IsPolled);
        Assert.False(crew.IsAtRest);
        Assert.False(crew.TryTakeWake());
    }

    private static IEnumerable<Actor<State>> Posters(int count) =>
        Enumerable.Range(1, count).Select(i => new Actor<State>($"poster {i}", Post));

    // As EventLoop.Poll and TryFinishPass. Nobody else asks for the right to poll.
    private static IEnumerable<Step> Loop(State state, bool looksAgain)
    {
        while (true)
        {
            yield return "TryBeginPoll; is the queue empty?";
            Assert.True(state.Crew.TryBeginPoll());
            if (state.Queued == 0)
            {
                yield return "BeginSleep";
                state.Crew.BeginSleep();
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
            }

            yield return "EndPoll";
            state.Crew.EndPoll();
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
        if (state.Crew.TryTakeWake())
        {
            yield return "wake";
            state.WakePending = true;
            state.Wakes++;
        }
    }

    private sealed class State
    {
        public Crew Crew = new(maxSeats: 1);
        public int Queued;
        public int Run;
        public int Wakes;
        public int Sleeps;
        public bool WakePending;
    }
}
