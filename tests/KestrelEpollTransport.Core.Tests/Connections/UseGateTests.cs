using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>Every interleaving of calls into one end of a pipe with those who complete it.</summary>
public class UseGateTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    [InlineData(2, 2)]
    public void Complete_AgainstCalls_FreesOnceAndUnderNoCall(int callers, int completers)
    {
        int count = Interleavings.Explore(
            () => new State(),
            state =>
            {
                Assert.Equal(1, state.Freed);
                Assert.True(state.Gate.IsCompleted);
                Assert.False(state.Gate.TryEnter());
                Assert.False(state.Gate.Complete(), "Freed twice.");
            },
            [
                .. Enumerable.Range(1, callers).Select(i => new Actor<State>($"caller {i}", Call)),
                .. Enumerable.Range(1, completers).Select(i => new Actor<State>($"completer {i}", Complete)),
            ]);

        Assert.True(count > 1);
    }

    [Fact]
    public void TryEnter_TwoAtATime_LetsOneIn()
    {
        int refused = 0;
        int count = Interleavings.Explore(
            () => new State(),
            state =>
            {
                refused += state.Refused;
                Assert.Equal(0, state.Freed);
                Assert.True(state.Gate.TryEnter(), "The gate stayed shut.");
            },
            new Actor<State>("one", Call), new Actor<State>("two", Call));

        Assert.True(count > 1 && refused > 0);
    }

    [Fact]
    public void Complete_ThatFreesAtOnce_IsFoundOut()
    {
        // Wrong on purpose: leaves nothing to the call that is inside.
        static IEnumerable<Step> Wrong(State state)
        {
            yield return "Complete and free";
            state.Gate.Complete();
            state.Free();
        }

        Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => new State(), _ => { }, new Actor<State>("caller", Call), new Actor<State>("completer", Wrong)));
    }

    private static IEnumerable<Step> Call(State state)
    {
        yield return "TryEnter";
        if (!state.Gate.TryEnter())
        {
            state.Refused++;
            yield break;
        }

        Assert.False(state.Inside, "Two calls are inside.");
        state.Inside = true;
        yield return "touch the buffers";
        Assert.Equal(0, state.Freed);
        yield return "Leave";
        state.Inside = false;
        if (state.Gate.Leave())
        {
            yield return "free";
            state.Free();
        }
    }

    private static IEnumerable<Step> Complete(State state)
    {
        yield return "Complete";
        if (state.Gate.Complete())
        {
            yield return "free";
            state.Free();
        }
    }

    private sealed class State
    {
        public UseGate Gate;
        public bool Inside;
        public int Freed;
        public int Refused;

        public void Free()
        {
            Assert.False(Inside, "Freed under a call.");
            Freed++;
        }
    }
}
