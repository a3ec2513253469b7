using KestrelEpollTransport.Connections;
using Microsoft.Extensions.Logging;
using static KestrelEpollTransport.Connections.LifetimeState;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>Every sequence of what can happen to a connection, and each row of the table.</summary>
public class ConnectionLifetimeTests
{
    private const int Depth = 6;

    private static readonly LifetimeEvent[] s_events = Enum.GetValues<LifetimeEvent>();

    [Fact]
    public void Next_OverEverySequence_KeepsTheRules()
    {
        int count = 0;
        LifetimeEvent[] path = new LifetimeEvent[Depth];
        void Descend(LifetimeState state, int depth)
        {
            foreach (LifetimeEvent happened in depth < Depth ? s_events : [])
            {
                path[depth] = happened;
                LifetimeState next = ConnectionLifetime.Next(state, happened);
                count++;
                if (FindBroken(state, happened, next, path.AsSpan(0, depth + 1)) is { } rule)
                {
                    Assert.Fail($"{string.Join(", ", path.Take(depth + 1))}: {state} -> {next}: {rule}");
                }

                Descend(next, depth + 1);
            }
        }

        Descend(Open, 0);

        // 9 + 81 + ... + 9^6.
        Assert.Equal(597_870, count);
    }

    [Fact]
    public void Next_OverEveryStateThatCanBeReached_KeepsTheRulesWithoutALimitOfLength()
    {
        HashSet<LifetimeState> seen = [Open];
        Queue<LifetimeState> left = new(seen);
        while (left.TryDequeue(out LifetimeState state))
        {
            foreach (LifetimeEvent happened in s_events)
            {
                LifetimeState next = ConnectionLifetime.Next(state, happened);
                Assert.Null(FindBrokenTransition(state, happened, next));
                if (seen.Add(next))
                {
                    left.Enqueue(next);
                }
            }
        }

        Assert.InRange(seen.Count, 20, 1_024);
    }

    [Theory]
    [InlineData("Open", "EndReceived", "Fin, ReadOut, Told")]
    [InlineData("Failed, Told", "EndReceived", "Failed, ReadOut, Told")]
    [InlineData("Fin, ReadOut, Told", "EndReceived", "Fin, ReadOut, Told")]
    [InlineData("Ended, Told", "EndReceived", "Ended, Fin, ReadOut, Told, Closed")]
    [InlineData("Open", "ErrorTaken", "Failed, Told")]
    [InlineData("Fin, ReadOut, Told", "ErrorTaken", "Fin, ReadOut, Told")]
    [InlineData("Failed, Told", "ErrorTaken", "Failed, Told")]
    [InlineData("Ended, Reset, Told, Closed", "ErrorTaken", "Ended, Reset, Told, Closed")]
    [InlineData("Ended, Told", "ErrorTaken", "Ended, Failed, Told")]
    [InlineData("Ended, InputCompleted, Told", "ErrorTaken", "Ended, InputCompleted, Failed, Told, Closed")]
    [InlineData("Open", "ReceiveFailed", "Failed, ReadOut, Told")]
    [InlineData("Failed, Told", "ReceiveFailed", "Failed, ReadOut, Told")]
    [InlineData("Fin, ReadOut, Told", "ReceiveFailed", "Fin, ReadOut, Told")]
    [InlineData("Ended, Reset, Told, Closed", "ReceiveFailed", "Ended, Reset, Told, Closed")]
    [InlineData("Open", "SendFailed", "Ended, SendFailed, Told")]
    [InlineData("Failed, Told", "SendFailed", "Failed, Ended, SendFailed, Told")]
    [InlineData("Fin, ReadOut, Told", "SendFailed", "Fin, ReadOut, Ended, SendFailed, Told, Closed")]
    [InlineData("InputCompleted", "SendFailed", "InputCompleted, Ended, SendFailed, Told, Closed")]
    [InlineData("Ended, Told", "SendFailed", "Ended, Told")]
    [InlineData("Open", "EndedByFin", "Ended, Told")]
    [InlineData("InputCompleted", "EndedByFin", "InputCompleted, Ended, Told")]
    [InlineData("Fin, ReadOut, Told", "EndedByFin", "Fin, ReadOut, Ended, Told, Closed")]
    [InlineData("Failed, Told", "EndedByFin", "Failed, Ended, Told")]
    [InlineData("Failed, InputCompleted, Told", "EndedByFin", "Failed, InputCompleted, Ended, Told, Closed")]
    [InlineData("Ended, SendFailed, Told", "EndedByFin", "Ended, SendFailed, Told")]
    [InlineData("Open", "EndedByReset", "Ended, Reset, Told, Closed")]
    [InlineData("Fin, ReadOut, Told", "EndedByReset", "Fin, ReadOut, Ended, Reset, Told, Closed")]
    [InlineData("Failed, Told", "EndedByReset", "Failed, Ended, Reset, Told")]
    [InlineData("Failed, ReadOut, Told", "EndedByReset", "Failed, ReadOut, Ended, Reset, Told, Closed")]
    [InlineData("Failed, InputCompleted, Told", "EndedByReset", "Failed, InputCompleted, Ended, Reset, Told, Closed")]
    [InlineData("Failed, Ended, Reset, Told", "EndReceived", "Failed, Ended, Reset, ReadOut, Told, Closed")]
    [InlineData("Failed, Ended, Reset, Told", "ReceiveFailed", "Failed, Ended, Reset, ReadOut, Told, Closed")]
    [InlineData("Failed, Ended, Reset, Told", "InputCompleted", "Failed, Ended, Reset, InputCompleted, Told, Closed")]
    [InlineData("Failed, Ended, Reset, Told", "ErrorTaken", "Failed, Ended, Reset, Told")]
    [InlineData("Ended, SendFailed, Told", "ReceiveFailed", "Ended, SendFailed, Failed, ReadOut, Told, Closed")]
    [InlineData("Ended, Told", "ReceiveFailed", "Ended, Failed, ReadOut, Told, Closed")]
    [InlineData("Ended, Told", "EndedByReset", "Ended, Told")]
    [InlineData("Open", "InputCompleted", "InputCompleted")]
    [InlineData("Failed, Ended, Told", "InputCompleted", "Failed, Ended, InputCompleted, Told, Closed")]
    [InlineData("Ended, SendFailed, Told", "InputCompleted", "Ended, SendFailed, InputCompleted, Told, Closed")]
    [InlineData("Ended, Told", "InputCompleted", "Ended, InputCompleted, Told")]
    [InlineData("InputCompleted", "InputRefused", "InputCompleted, Told")]
    [InlineData("Ended, Told", "GivenUp", "Ended, Told, Closed")]
    [InlineData("Failed, Ended, Reset, Told", "GivenUp", "Failed, Ended, Reset, Told, Closed")]
    [InlineData("Open", "GivenUp", "Closed")]
    public void Next_OfARowOfTheTable_AddsWhatItSays(string state, string happened, string expected)
    {
        LifetimeState next = ConnectionLifetime.Next(Enum.Parse<LifetimeState>(state), Enum.Parse<LifetimeEvent>(happened));

        Assert.Equal(Enum.Parse<LifetimeState>(expected), next);
    }

    [Theory]
    [InlineData("Open", false)]
    [InlineData("Fin, ReadOut", true)]
    [InlineData("Failed", true)]
    [InlineData("Ended, SendFailed", true)]
    [InlineData("Failed, Ended, Reset", true)]
    [InlineData("Fin, ReadOut, Ended, Reset", true)]
    [InlineData("Failed, InputCompleted, Told", true)]
    [InlineData("Ended, Reset", false)]
    [InlineData("Ended", false)]
    [InlineData("InputCompleted, Told", false)]
    public void KeepsInput_OfWhatWasKnownBeforeOurEnd_IsWhetherThePeerEndedFirst(string state, bool keeps) =>
        Assert.Equal(keeps, ConnectionLifetime.KeepsInput(Enum.Parse<LifetimeState>(state)));

    [Fact]
    public async Task Apply_OnManyThreads_ReportsEachAdditionOnce()
    {
        const int Rounds = 200;
        for (int round = 0; round < Rounds; round++)
        {
            Holder holder = new();
            using Barrier barrier = new(3);
            Task<List<LifetimeState>> Start(params LifetimeEvent[] events) => Task.Factory.StartNew(
                () =>
                {
                    Assert.True(barrier.SignalAndWait(Timeouts.Limit));
                    List<LifetimeState> added = [];
                    foreach (LifetimeEvent happened in events)
                    {
                        LifetimeState before = holder.Lifetime.Apply(happened, out LifetimeState one);
                        Assert.Equal(Open, before & one);
                        Assert.Equal(ConnectionLifetime.Next(before, happened), before | one);
                        added.Add(one);
                    }

                    return added;
                },
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default);

            List<LifetimeState>[] all = await Task.WhenAll(
                Start(LifetimeEvent.ErrorTaken, LifetimeEvent.SendFailed),
                Start(LifetimeEvent.EndReceived, LifetimeEvent.InputCompleted),
                Start(LifetimeEvent.EndedByFin, LifetimeEvent.GivenUp)).OrTimeout();

            LifetimeState sum = Open;
            foreach (LifetimeState added in all.SelectMany(one => one))
            {
                Assert.Equal(Open, sum & added);
                sum |= added;
            }

            Assert.Equal(holder.Lifetime.State, sum);
        }
    }

    [Fact]
    public void TakeUnlogged_AfterEachEvent_TellsItOnceAndNothingAfterOurOwnEnd()
    {
        ConnectionLifetime lifetime = default;
        Assert.Equal(Open, lifetime.TakeUnlogged(ends: false));
        lifetime.NoteError(new IOException(), LifetimeEvent.ErrorTaken, out LifetimeState _);
        Assert.Equal(Failed | Told, lifetime.TakeUnlogged(ends: false));
        Assert.Equal(Open, lifetime.TakeUnlogged(ends: false));
        lifetime.Apply(LifetimeEvent.InputCompleted, out LifetimeState _);
        lifetime.Apply(LifetimeEvent.EndedByReset, out LifetimeState _);
        Assert.Equal(Open, lifetime.TakeUnlogged(ends: false));
        Assert.Equal(InputCompleted | Ended | Reset | Closed, lifetime.TakeUnlogged(ends: true));
        lifetime.Apply(LifetimeEvent.EndReceived, out LifetimeState added);
        Assert.Equal(ReadOut, added);
        Assert.Equal(Open, lifetime.TakeUnlogged(ends: false));
    }

    [Fact]
    public void TakeUnlogged_OfWhatCameWithOurOwnEnd_TellsBoth()
    {
        ConnectionLifetime lifetime = default;
        lifetime.Apply(LifetimeEvent.EndedByFin, out LifetimeState _);
        lifetime.NoteError(new IOException(), LifetimeEvent.ReceiveFailed, out LifetimeState _);

        Assert.Equal(Failed | ReadOut | Ended | Told | Closed, lifetime.TakeUnlogged(ends: true));
    }

    [Fact]
    public async Task TakeUnlogged_OnManyThreads_TellsEachBitOnce()
    {
        const int Rounds = 200;
        for (int round = 0; round < Rounds; round++)
        {
            Holder holder = new();
            using Barrier barrier = new(3);
            Task<List<LifetimeState>> Start(params LifetimeEvent[] events) => Task.Factory.StartNew(
                () =>
                {
                    Assert.True(barrier.SignalAndWait(Timeouts.Limit));
                    List<LifetimeState> told = [];
                    foreach (LifetimeEvent happened in events)
                    {
                        holder.Lifetime.Apply(happened, out LifetimeState _);
                        told.Add(holder.Lifetime.TakeUnlogged(ends: false));
                    }

                    return told;
                },
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default);

            List<LifetimeState>[] all = await Task.WhenAll(
                Start(LifetimeEvent.ErrorTaken, LifetimeEvent.InputCompleted),
                Start(LifetimeEvent.EndReceived),
                Start(LifetimeEvent.InputRefused)).OrTimeout();

            LifetimeState sum = Open;
            foreach (LifetimeState told in all.SelectMany(one => one))
            {
                Assert.Equal(Open, sum & told);
                sum |= told;
            }

            Assert.Equal(holder.Lifetime.State, sum);
        }
    }

    [Fact]
    public void Token_AgainstWhoTells_IsCancelledOnce()
    {
        int schedules = Interleavings.Explore(
            () => new Holder(),
            holder =>
            {
                Assert.True(holder.Seen.IsCancellationRequested);
                Assert.InRange(holder.Callbacks, 0, 1);
                Assert.True(holder.Lifetime.Token.IsCancellationRequested);
            },
            new Actor<Holder>("asker", Ask), new Actor<Holder>("teller", Tell));

        Assert.Equal(3, schedules);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task WaitAsync_UntilEndedAndTold_Waits(bool tokenIsAskedFor)
    {
        Holder holder = new();
        CancellationToken token = tokenIsAskedFor ? holder.Lifetime.Token : default;
        Task wait = holder.Lifetime.WaitAsync().AsTask();

        holder.Lifetime.Set(LifetimeState.EndDone);
        Assert.False(wait.IsCompleted);
        bool hasCallbacks = holder.Lifetime.HasCallbacks();
        Assert.Equal(tokenIsAskedFor, hasCallbacks);
        if (hasCallbacks)
        {
            Assert.False(wait.IsCompleted);
            holder.Lifetime.RunCallbacks(holder.Log);
            Assert.True(token.IsCancellationRequested);
        }

        await wait.OrTimeout();
        Assert.True(holder.Lifetime.WaitAsync().AsTask().IsCompletedSuccessfully);
    }

    [Fact]
    public void RunCallbacks_ThatThrow_AreLoggedAndStillLetDisposeGoOn()
    {
        Holder holder = new();
        IOException error = new();
        bool ranOther = false;
        using CancellationTokenRegistration first = holder.Lifetime.Token.Register(() => ranOther = true);
        using CancellationTokenRegistration second = holder.Lifetime.Token.Register(() => throw error);
        holder.Lifetime.Set(LifetimeState.EndDone);
        Assert.True(holder.Lifetime.HasCallbacks());

        holder.Lifetime.RunCallbacks(holder.Log);

        LogEntry entry = Assert.Single(holder.Log.All());
        Assert.Equal(LogLevel.Error, entry.Level);
        Assert.Same(error, Assert.IsType<AggregateException>(entry.Exception).InnerException);
        Assert.True(ranOther);
        Assert.True(holder.Lifetime.WaitAsync().AsTask().IsCompletedSuccessfully);
    }

    [Fact]
    public void TryTakeEndAndNoteError_ASecondTime_KeepTheFirst()
    {
        ConnectionLifetime lifetime = default;
        IOException first = new();
        lifetime.NoteError(first, LifetimeEvent.ErrorTaken, out LifetimeState added);
        Assert.Equal(Failed | Told, added);
        lifetime.NoteError(new IOException(), LifetimeEvent.ReceiveFailed, out added);
        Assert.Equal(ReadOut, added);

        Assert.Same(first, lifetime.Failure!.SourceException);
        Assert.True(lifetime.TryTakeEnd(first));
        Assert.False(lifetime.TryTakeEnd(new IOException()));
        Assert.Same(first, lifetime.Reason);
    }

    private static IEnumerable<Step> Ask(Holder holder)
    {
        yield return "Token";
        holder.Seen = holder.Lifetime.Token;
        holder.Seen.Register(() => holder.Callbacks++);
    }

    private static IEnumerable<Step> Tell(Holder holder)
    {
        yield return "HasCallbacks";
        if (holder.Lifetime.HasCallbacks())
        {
            yield return "RunCallbacks";
            holder.Lifetime.RunCallbacks(holder.Log);
        }
        else
        {
            yield return "nothing to run";
        }
    }

    // Which rule a sequence has broken with its last event; null: none.
    private static string? FindBroken(LifetimeState state, LifetimeEvent happened, LifetimeState next, ReadOnlySpan<LifetimeEvent> path)
    {
        bool givenUp = path.Contains(LifetimeEvent.GivenUp);
        if (Has(next, Closed) && !Has(next, Ended) && !givenUp)
        {
            return "It is closed before our own end.";
        }

        // What a peer sent before it failed is read, or given up by the application, before the descriptor is closed.
        if (Has(next, Failed) && !Has(next, ReadOut | InputCompleted) && !givenUp && Has(next, Closed))
        {
            return "It is closed before it is read out.";
        }

        // Our FIN, or a send that failed, leaves what is to be read.
        if (Has(next, Ended) && !Has(next, ReadOut | Reset) && !(Has(next, InputCompleted) && Has(next, Failed | SendFailed)) && !givenUp && Has(next, Closed))
        {
            return "It is closed while it may be read.";
        }

        return FindBrokenTransition(state, happened, next);
    }

    private static string? FindBrokenTransition(LifetimeState state, LifetimeEvent happened, LifetimeState next)
    {
        LifetimeState added = next & ~state;
        return (next & state) != state ? "Something known was forgotten."
            : Has(next, Fin) && Has(next, Failed) ? "The peer ended in two ways."
            : Has(next, Fin) && !Has(next, ReadOut) ? "A FIN was received before what came before it."
            : Has(next, ReadOut) && !Has(next, Fin | Failed) ? "It is read out, and the peer has not ended."
            : Has(next, Ended | Fin | Failed | ReadOut) && !Has(next, Told) ? "Nobody was told."
            : Has(next, Reset | SendFailed) && !Has(next, Ended) ? "It ended, and has not ended."
            : Has(next, Reset) && Has(next, SendFailed) ? "Our own end has two ways."
            : Has(next, Reset) && !Has(next, Failed) && !Has(next, Closed) ? "A reset leaves the descriptor open."
            : Has(added, Failed) && Has(state, Reset) ? "Our reset is taken for the peer's."
            : Has(added, Failed) && Has(state, ReadOut) ? "The peer's end changed."
            : !Shows(happened, next) ? "It happened, and is not known."
            : ConnectionLifetime.Next(next, happened) != next ? "It happened twice, and that made a difference."
            : Has(added, Reset | SendFailed) && Has(state, Ended) ? "Our own end changed."
            : Has(next, Ended) && Has(next, ReadOut) && !Has(next, Closed) ? "Read out and ended, it stays open for ever."
            : Has(next, Ended) && Has(next, InputCompleted) && Has(next, Fin | Failed | SendFailed) && !Has(next, Closed)
                ? "With nobody to read it, it stays open for ever."
            : happened == LifetimeEvent.EndedByFin && Has(added, Ended) && Has(added, Closed) && !Has(next, ReadOut | InputCompleted)
                ? "Our FIN took the input away."
            : null;
    }

    private static bool Shows(LifetimeEvent happened, LifetimeState next) => happened switch
    {
        LifetimeEvent.EndReceived => Has(next, ReadOut),
        LifetimeEvent.ErrorTaken => Has(next, Fin | Failed | Reset),
        LifetimeEvent.ReceiveFailed => Has(next, ReadOut | Reset),
        LifetimeEvent.SendFailed or LifetimeEvent.EndedByFin or LifetimeEvent.EndedByReset => Has(next, Ended),
        LifetimeEvent.InputCompleted => Has(next, InputCompleted),
        LifetimeEvent.InputRefused => Has(next, Told),
        LifetimeEvent.GivenUp => Has(next, Closed),
        _ => false,
    };

    private static bool Has(LifetimeState state, LifetimeState any) => (state & any) != 0;

    private sealed class Holder
    {
        public ConnectionLifetime Lifetime;

        public LogRecorder Log { get; } = new();

        public CancellationToken Seen { get; set; }

        public int Callbacks { get; set; }
    }
}
