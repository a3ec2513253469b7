namespace KestrelEpollTransport.Tests;

/// <summary>The explorer itself: that it runs every merge, and that it finds what is wrong.</summary>
public class InterleavingsTests
{
    [Fact]
    public void Explore_TwoActorsOfThreeAndTwoSteps_RunsAllTenMerges()
    {
        HashSet<string> seen = [];

        int count = Interleavings.Explore(
            () => new List<char>(), trace => seen.Add(string.Concat(trace)), Letters("abc"), Letters("xy"));

        Assert.Equal(10, count);
        Assert.Equal(10, seen.Count);
        Assert.All(seen, trace => Assert.Equal("abc", string.Concat(trace.Where("abc".Contains))));
    }

    [Fact]
    public void Explore_ThreeActors_RunsEveryMultinomialMerge() =>
        Assert.Equal(210, Interleavings.Explore(() => new List<char>(), _ => { }, Letters("ab"), Letters("cd"), Letters("xyz")));

    [Fact]
    public void Explore_UnprotectedIncrement_FindsTheLostUpdate()
    {
        static IEnumerable<Step> Increment(int[] shared)
        {
            yield return "read";
            int value = shared[0];
            yield return "write";
            shared[0] = value + 1;
        }

        InterleavingException found = Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => new int[1], shared => Assert.Equal(2, shared[0]), new Actor<int[]>("one", Increment), new Actor<int[]>("two", Increment)));

        Assert.Contains("one: read", found.Message, StringComparison.Ordinal);
        Assert.Contains("two: read", found.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Explore_ActorsThatWaitForEachOther_FindsTheDeadlock()
    {
        static IEnumerable<Step> Take(bool[] taken, int first, int second)
        {
            yield return new Step("first", () => !taken[first]);
            taken[first] = true;
            yield return new Step("second", () => !taken[second]);
            taken[second] = true;
            yield return "leave";
            taken[first] = taken[second] = false;
        }

        Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => new bool[2], _ => { },
            new Actor<bool[]>("ab", taken => Take(taken, 0, 1)), new Actor<bool[]>("ba", taken => Take(taken, 1, 0))));
        Assert.True(1 < Interleavings.Explore(
            () => new bool[2], _ => { },
            new Actor<bool[]>("ab", taken => Take(taken, 0, 1)), new Actor<bool[]>("ab again", taken => Take(taken, 0, 1))));
    }

    [Fact]
    public void ExploreStates_WhereMergesMeet_GoesOnOnceAndFindsWhatExploreFinds()
    {
        static IEnumerable<Step> Increment(Counter counter)
        {
            for (int i = 0; i < 2; i++)
            {
                yield return "read";
                int value = counter.Value;
                yield return "write";
                counter.Value = value + 1;
            }
        }

        Actor<Counter>[] actors = [new("one", Increment), new("two", Increment)];
        HashSet<int> ends = [];
        HashSet<int> endsOfStates = [];

        int schedules = Interleavings.Explore(() => new Counter(), counter => ends.Add(counter.Value), actors);
        int states = Interleavings.ExploreStates(() => new Counter(), counter => endsOfStates.Add(counter.Value), actors);

        Assert.Equal(70, schedules);
        Assert.InRange(states, 2, 70);
        Assert.Equal([2, 3, 4], ends.Order());
        Assert.Equal([2, 3, 4], endsOfStates.Order());
    }

    [Fact]
    public void ExploreStates_OfAStateThatIsNotNumbers_IsRefused() =>
        Assert.Throws<InterleavingException>(() => Interleavings.ExploreStates(() => new Holder(), _ => { }, []));

    [Fact]
    public void Explore_EndlessRetry_IsReported()
    {
        static IEnumerable<Step> Spin(int[] shared)
        {
            while (shared[0] == 0)
            {
                yield return "look";
            }
        }

        Assert.Throws<InterleavingException>(() => Interleavings.Explore(() => new int[1], _ => { }, new Actor<int[]>("spinner", Spin)));
    }

    private sealed class Counter
    {
        public int Value;
    }

    private sealed class Holder
    {
        public readonly List<int> Values = [];
    }

    private static Actor<List<char>> Letters(string letters)
    {
        IEnumerable<Step> Run(List<char> trace)
        {
            foreach (char letter in letters)
            {
                yield return letter.ToString();
                trace.Add(letter);
            }
        }

        return new Actor<List<char>>(letters, Run);
    }
}
