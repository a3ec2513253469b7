using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Tests.Native;

/// <summary>Every interleaving of calls on a descriptor with those who close it.</summary>
public class DescriptorGuardTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    [InlineData(2, 2)]
    [InlineData(3, 1)]
    public void Close_AgainstCalls_IsDoneOnceByTheLastOneAndUnderNoCall(int callers, int closers)
    {
        int count = Interleavings.Explore(
            () => new State(),
            state =>
            {
                Assert.Equal(1, state.Closed);
                Assert.Equal(0, state.Inside);
                Assert.True(state.Guard.IsClosing);
                Assert.False(state.Guard.TryEnter());
            },
            [.. Repeat("caller", callers, Call), .. Repeat("closer", closers, Close)]);

        Assert.True(count > 1);
    }

    [Fact]
    public void Calls_WithoutAnyClose_NeverClose() =>
        Assert.True(1 < Interleavings.Explore(
            () => new State(), state => Assert.Equal(0, state.Closed), [.. Repeat("caller", 2, Call)]));

    [Fact]
    public void Close_ByACheckAndThenAnAct_IsFoundOut()
    {
        // Wrong on purpose: looks whether a call is inside, and closes in a second step.
        static IEnumerable<Step> Wrong(State state)
        {
            yield return "look";
            bool free = state.Inside == 0;
            yield return "close";
            if (free)
            {
                state.CloseDescriptor();
            }
        }

        Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => new State(), _ => { }, new Actor<State>("caller", Call), new Actor<State>("closer", Wrong)));
    }

    private static IEnumerable<Actor<State>> Repeat(string name, int times, Func<State, IEnumerable<Step>> run) =>
        Enumerable.Range(1, times).Select(i => new Actor<State>($"{name} {i}", run));

    private static IEnumerable<Step> Call(State state)
    {
        yield return "TryEnter";
        if (!state.Guard.TryEnter())
        {
            yield break;
        }

        state.Inside++;
        yield return "call";
        Assert.Equal(0, state.Closed);
        yield return "Leave";
        state.Inside--;
        if (state.Guard.Leave())
        {
            yield return "close";
            state.CloseDescriptor();
        }
    }

    private static IEnumerable<Step> Close(State state)
    {
        yield return "Close";
        if (state.Guard.Close())
        {
            yield return "close";
            state.CloseDescriptor();
        }
    }

    private sealed class State
    {
        public DescriptorGuard Guard;
        public int Inside;
        public int Closed;

        public void CloseDescriptor()
        {
            Assert.Equal(0, Inside);
            Closed++;
        }
    }
}
