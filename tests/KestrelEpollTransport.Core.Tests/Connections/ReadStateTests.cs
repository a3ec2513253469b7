using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>Every interleaving of a reader with those who end its waits, receive ahead of it and complete it.</summary>
public class ReadStateTests
{
    private static readonly Dictionary<string, Func<ReadModel, IEnumerable<Step>>> s_readers = new()
    {
        ["read"] = model => model.Read(),
        ["first read"] = model => model.ReadFirst(),
        ["read, advance, read"] = model => model.ReadTwice(),
    };

    private static readonly Dictionary<string, Func<ReadModel, IEnumerable<Step>>> s_others = new()
    {
        ["arrival"] = model => model.Arrive(),
        ["arrival ahead"] = model => model.ArriveAhead(),
        ["fin"] = model => model.ArriveFin(),
        ["cancel"] = model => model.Cancel(),
        ["token"] = model => model.FireToken(),
        ["end"] = model => model.Fail(),
        ["complete"] = model => model.Complete(),
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
                    data.Add($"{names[i]}+{names[j]}");
                    for (int k = j + 1; k < names.Length; k++)
                    {
                        data.Add($"{names[i]}+{names[j]}+{names[k]}");
                    }
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void Reader_AgainstEveryoneElse_IsResumedOnceLosesNothingAndFreesOnce(string others)
    {
        // Two reads against three others are the many states that teach no more than one read against them.
        foreach (string reader in others.Split('+').Length < 3 ? s_readers.Keys.ToArray() : ["read"])
        {
            int idle = Interleavings.ExploreStates(() => new ReadModel(), model => model.Check(), Actors(reader, others));
            int ready = Interleavings.ExploreStates(() => ReadModel.Ready(), model => model.Check(), Actors(reader, others));

            Assert.True(idle > 10 && ready > 10, $"Only {idle} and {ready} states: the actors did not meet.");
        }
    }

    [Theory]
    [InlineData((int)ReadFlaw.ReceivesBeforeClear, "read", "arrival+arrival", "SetReady")]
    [InlineData((int)ReadFlaw.WaitsRegardless, "read", "arrival", "SetReady")]
    [InlineData((int)ReadFlaw.ForgetsAhead, "read", "arrival ahead+arrival ahead", "received ahead is forgotten")]
    [InlineData((int)ReadFlaw.ForgetsAhead, "read", "arrival ahead+fin", "fin: TryBeginAhead")]
    [InlineData((int)ReadFlaw.FreesRegardless, "read", "complete", "Freed")]
    [InlineData((int)ReadFlaw.TellsEarly, "read", "arrival", "enqueue")]
    [InlineData((int)ReadFlaw.ForgetsUnread, "read", "fin+cancel", "end of the stream was not received")]
    [InlineData((int)ReadFlaw.ForgetsUnread, "read", "arrival ahead+cancel", "received ahead is forgotten")]
    [InlineData((int)ReadFlaw.ForgetsUnread, "first read", "arrival ahead+cancel", "received ahead is forgotten")]
    [InlineData((int)ReadFlaw.TakesTokenEarly, "read, advance, read", "arrival+token", "token")]
    public void Model_WithAFlaw_IsFoundOut(int flaw, string reader, string others, string culprit)
    {
        InterleavingException found = Assert.Throws<InterleavingException>(() => Interleavings.ExploreStates(
            () => new ReadModel((ReadFlaw)flaw), model => model.Check(), Actors(reader, others)));

        Assert.Contains(culprit, found.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task TryEnter_WhileSomeoneReceivesAhead_WaitsUntilItLeaves(bool isInterrupted)
    {
        Holder holder = new() { IsInterrupted = isInterrupted };
        holder.Word.SetReady();
        Assert.True(holder.Word.TryBeginAhead());

        Task<EnterRead> entered = Task.Factory.StartNew(
            holder.TryEnter, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await holder.Entering.Task.OrTimeout();

        // Time for a wait that an interrupt would end.
        for (int i = 0; i < 10_000 && !entered.IsCompleted; i++)
        {
            Thread.Yield();
        }

        Assert.False(holder.Entered, "Entered beside an owner.");
        holder.AheadHasLeft = true;
        Assert.Equal(LeaveRead.Done, holder.Word.Leave());

        Assert.Equal(EnterRead.Entered, await entered.OrTimeout());
        Assert.True(holder.EnteredAfterAhead);
    }

    [Fact]
    public void TryEnter_BesideACallOrAPendingRead_IsRefused()
    {
        ReadState word = default;
        Assert.Equal(EnterRead.Entered, word.TryEnter());
        Assert.Equal(EnterRead.InUse, word.TryEnter());
        Assert.True(word.TryWait());
        Assert.Equal(EnterRead.InUse, word.TryEnter());
        Assert.True(word.SetReady(), "Ends the wait.");
        Assert.Equal(EnterRead.InUse, word.TryEnter());
        Assert.False(word.SetReady(), "It is ended already.");
        Assert.Equal(LeaveRead.Done, word.Leave());
        Assert.Equal(EnterRead.Entered, word.TryEnter());
    }

    [Fact]
    public void TryBeginAhead_WithNothingReadyOrNobodyToReadIt_IsRefused()
    {
        ReadState idle = default;
        Assert.False(idle.TryBeginAhead(), "There is nothing to receive.");

        ReadState ended = default;
        ended.SetReady();
        ended.End();
        Assert.False(ended.TryBeginAhead(), "The end is known.");

        ReadState completed = default;
        completed.SetReady();
        Assert.True(completed.Complete(out bool resumes, out bool frees));
        Assert.False(resumes);
        Assert.True(frees);
        Assert.False(completed.TryBeginAhead(), "The buffer is freed.");
    }

    [Theory]
    [InlineData("nobody inside", false, true)]
    [InlineData("a call inside", false, false)]
    [InlineData("a read waits", true, false)]
    public void Complete_TheFirstTime_ResumesWhoWaitsOrLeavesTheBufferToTheOwner(string inside, bool resumes, bool frees)
    {
        ReadState word = default;
        if (inside != "nobody inside")
        {
            Assert.Equal(EnterRead.Entered, word.TryEnter());
            Assert.True(inside != "a read waits" || word.TryWait());
        }

        Assert.True(word.Complete(out bool firstResumes, out bool firstFrees));
        Assert.Equal((resumes, frees), (firstResumes, firstFrees));
        Assert.False(word.Complete(out bool secondResumes, out bool secondFrees), "It was completed before.");
        Assert.Equal((false, false), (secondResumes, secondFrees));
        if (!frees)
        {
            Assert.Equal(LeaveRead.Free, word.Leave());
        }
    }

    [Fact]
    public void SetReady_WithStickyBits_KeepsThemThroughClears()
    {
        ReadState word = default;
        Assert.True(word.TrustsShortCounts);

        word.SetReady(ReadState.Urgent);
        word.ClearReady();

        Assert.False(word.IsReady);
        Assert.False(word.TrustsShortCounts);
        Assert.False(word.HasHungUp);

        word.SetReady(ReadState.HangUp);
        word.ClearReady();

        Assert.True(word.HasHungUp);
        Assert.Equal(EnterRead.Entered, word.TryEnter());
        Assert.True(word.TryWait(), "Hang-up and urgent data do not keep anyone from waiting.");
    }

    private static Actor<ReadModel>[] Actors(string reader, string others) =>
    [
        new("reader", s_readers[reader]),
        .. others.Split('+').Select(name => new Actor<ReadModel>(name, s_others[name])),
        new("loop", model => model.ReceiveUnread()),
    ];

    private sealed class Holder
    {
        public ReadState Word;

        public TaskCompletionSource Entering { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public volatile bool AheadHasLeft;
        public volatile bool Entered;
        public volatile bool EnteredAfterAhead;

        public bool IsInterrupted { get; init; }

        public EnterRead TryEnter()
        {
            if (IsInterrupted)
            {
                // Of a thread that ends with the call.
                Thread.CurrentThread.Interrupt();
            }

            Entering.SetResult();
            EnterRead entered = Word.TryEnter();
            EnteredAfterAhead = AheadHasLeft;
            Entered = true;
            return entered;
        }
    }
}
