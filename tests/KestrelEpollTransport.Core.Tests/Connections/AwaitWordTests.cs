using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>Every interleaving of a waiting read with those who end waits.</summary>
public class AwaitWordTests
{
    private static readonly Dictionary<string, Func<ReadModel, IEnumerable<Step>>> s_others = new()
    {
        ["arrival"] = model => model.Arrive(),
        ["cancel"] = model => model.Cancel(),
        ["token"] = model => model.FireToken(),
        ["close"] = model => model.Close(),
    };

    public static TheoryData<string> Scenarios
    {
        get
        {
            TheoryData<string> data = [];
            string[] names = [.. s_others.Keys];
            for (int i = 0; i < names.Length; i++)
            {
                data.Add(names[i]);
                for (int j = i; j < names.Length; j++)
                {
                    data.Add($"{names[i]},{names[j]}");
                    for (int k = j + 1; k < names.Length; k++)
                    {
                        data.Add($"{names[i]},{names[j]},{names[k]}");
                    }
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void Read_AgainstWhoEndsWaits_IsResumedExactlyOnceAndLosesNothing(string others)
    {
        Actor<ReadModel>[] actors =
        [
            new("reader", model => model.Read()),
            .. others.Split(',').Select(name => new Actor<ReadModel>(name, s_others[name])),
        ];

        int idle = Interleavings.Explore(() => new ReadModel(), model => model.Check(), actors);
        int ready = Interleavings.Explore(ReadModel.CreateReady, model => model.Check(), actors);

        Assert.True(idle > 5 && ready > 5, $"Only {idle} and {ready} schedules: the actors did not meet.");
    }

    [Fact]
    public void Read_ReceiveBeforeClear_LosesTheWakeUp()
    {
        // Wrong on purpose: what arrives between the two is forgotten.
        static IEnumerable<Step> Wrong(Broken state)
        {
            yield return "recv";
            state.Received += state.Queued;
            state.Queued = 0;
            yield return "ClearReady";
            state.Word.ClearReady();
            yield return "TryWait";
            state.Waits = state.Received == 0 && state.Word.TryWait();
        }

        InterleavingException found = Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => new Broken(), CheckNotLost, new Actor<Broken>("reader", Wrong), new Actor<Broken>("arrival", Arrive)));
        Assert.Contains("SetReady", found.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_WaitPublishedWithoutTheLook_LosesTheWakeUp()
    {
        // Wrong on purpose: looks at Ready, and then waits, in two steps.
        static IEnumerable<Step> Wrong(Broken state)
        {
            yield return "ClearReady";
            state.Ready = false;
            yield return "recv";
            state.Received += state.Queued;
            state.Queued = 0;
            yield return "look at Ready";
            bool ready = state.Ready;
            yield return "publish Waiting";
            state.Waits = state.Received == 0 && !ready;
        }

        static IEnumerable<Step> ArriveAtFlags(Broken state)
        {
            yield return "enqueue";
            state.Queued++;
            yield return "SetReady";
            state.Ready = true;
            state.Owed += state.Waits ? 1 : 0;
        }

        Assert.Throws<InterleavingException>(() => Interleavings.Explore(
            () => new Broken(), CheckNotLost, new Actor<Broken>("reader", Wrong), new Actor<Broken>("arrival", ArriveAtFlags)));
    }

    [Fact]
    public void Read_InTheRightOrder_LosesNothing()
    {
        // The same two actors as the wrong ones, put right: the check of the wrong ones is not wrong itself.
        static IEnumerable<Step> Right(Broken state)
        {
            do
            {
                yield return "ClearReady";
                state.Word.ClearReady();
                yield return "recv";
                state.Received += state.Queued;
                state.Queued = 0;
                yield return "TryWait";
                state.Waits = state.Received == 0 && state.Word.TryWait();
            }
            while (state.Received == 0 && !state.Waits);
        }

        Assert.True(5 < Interleavings.Explore(
            () => new Broken(), CheckNotLost, new Actor<Broken>("reader", Right), new Actor<Broken>("arrival", Arrive)));
    }

    [Fact]
    public void SetReady_WithStickyBits_KeepsThemThroughClears()
    {
        AwaitWord word = default;
        Assert.True(word.TrustsShortCounts);

        word.SetReady(AwaitWord.Urgent);
        word.ClearReady();

        Assert.False(word.IsReady);
        Assert.False(word.TrustsShortCounts);
        Assert.False(word.HasHungUp);

        word.SetReady(AwaitWord.HangUp);
        word.ClearReady();

        Assert.True(word.HasHungUp);
        Assert.True(word.TryWait(), "Hang-up and urgent data do not keep anyone from waiting.");
    }

    private static IEnumerable<Step> Arrive(Broken state)
    {
        yield return "enqueue";
        state.Queued++;
        yield return "SetReady";
        state.Owed += state.Word.SetReady() ? 1 : 0;
    }

    private static void CheckNotLost(Broken state) =>
        Assert.False(state.Queued > 0 && state.Waits && state.Owed == 0, "Waits for ever beside what is queued.");

    private sealed class Broken
    {
        public AwaitWord Word;
        public bool Ready;
        public bool Waits;
        public int Queued;
        public int Received;
        public int Owed;
    }
}
