using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Scheduling;

public class DispatchProfileTests
{
    private readonly SchedulingCounters _counters = new(1);
    private readonly DispatchHistory _history;
    private readonly long _long;

    public DispatchProfileTests()
    {
        _history = new DispatchHistory(TimeSpan.FromMicroseconds(100), _counters);
        _long = _history.LongTicks + 1;
    }

    [Fact]
    public void NewConnection_OfAnUnknownEndpoint_StartsInlineAndQuick()
    {
        DispatchProfile profile = new(_history);

        Assert.True(profile.RunsInline);
        Assert.True(profile.IsQuick);
        Assert.False(profile.IsLong);
    }

    [Fact]
    public void OneDispatchThatSlept_AmongOthers_StaysInline()
    {
        DispatchProfile profile = Begun();
        for (int i = 0; i < 20; i++)
        {
            profile.Note(Took(_long, slept: true));
            NoteOthers(ref profile, 40);
            Assert.True(profile.RunsInline);
        }

        Assert.Equal(0, _counters.Demotions);
    }

    [Fact]
    public void ThreeDispatchesThatSlept_CloseToEachOther_Demote()
    {
        DispatchProfile profile = Begun();
        profile.Note(Took(_long, slept: true));
        NoteOthers(ref profile, 20);
        profile.Note(Took(_long, slept: true));
        Assert.True(profile.RunsInline);
        NoteOthers(ref profile, 5);

        profile.Note(Took(_long, slept: true));

        Assert.False(profile.RunsInline);
        Assert.Equal(1, _counters.Demotions);
    }

    [Theory]
    [InlineData(5, 16)]
    [InlineData(20, 2)]
    public void KernelIsAsked_OfTheSuspectsEveryDispatch_AndRarelyOfThoseThatBlockForCertain(int slept, int asked)
    {
        if (!ThreadUsage.IsKnown)
        {
            return;
        }

        DispatchProfile profile = Begun();
        for (int i = 0; i < slept; i++)
        {
            profile.Note(Took(_long, slept: true));
        }

        int answers = 0;
        for (int i = 0; i < 16; i++)
        {
            long began = profile.Begin();
            answers += DispatchCost.End(began, limit: -1).Slept is null ? 0 : 1;
        }

        Assert.Equal(asked, answers);
    }

    /// <remarks>Seven of eight are not looked into.</remarks>
    [Fact]
    public void Kind_ThatIsCertain_StaysSoWhileNobodyAsks()
    {
        Habit habit = new(weight: 32);
        for (int i = 0; i < 20; i++)
        {
            habit.Note(did: true);
        }

        Assert.True(habit.IsCertain);

        habit.Suspect();

        Assert.True(habit.IsCertain);
    }

    [Fact]
    public void DispatchesThatCompute_HoweverLong_StayInline()
    {
        DispatchProfile profile = Begun();
        for (int i = 0; i < 1_000; i++)
        {
            profile.Note(Took(_long, slept: i % 33 == 32 ? null : false));
            Assert.True(profile.RunsInline);
            Assert.Equal(i > 1, profile.IsLong);
            Assert.False(profile.IsQuick);
        }

        NoteOthers(ref profile, 255);
        Assert.True(profile.IsLong);
        NoteOthers(ref profile, 1);
        Assert.False(profile.IsLong);
        Assert.True(profile.IsQuick);
    }

    [Theory]
    [InlineData(2, true)]
    [InlineData(20, true)]
    [InlineData(40, false)]
    public void DispatchesThatAreLong_OneInSoMany_AreExpectedToBe(int oneIn, bool isLong)
    {
        DispatchProfile profile = Begun();
        for (int i = 0; i < 100; i++)
        {
            profile.Note(Took(_long, slept: false));
            NoteOthers(ref profile, oneIn - 1);
        }

        profile.Note(Took(_long, slept: false));
        Assert.Equal(isLong, profile.IsLong);
    }

    [Fact]
    public void DispatchesThatWaitForAProcessor_HoweverLong_AreNotLong()
    {
        for (int i = 0; i < 40; i++)
        {
            DispatchProfile profile = Begun();
            profile.Note(new DispatchTime(2 * _long, Slept: false, ComputedTicks: _history.LimitTicks));
            profile.Note(new DispatchTime(2 * _long, Slept: null));
            profile.Note(new DispatchTime(2 * _long, Slept: false, ComputedTicks: _history.LimitTicks));
            Assert.False(profile.IsLong);
        }

        Assert.False(_history.StartsAreLong);
    }

    [Fact]
    public void Kind_ThatTwoThreadsLeftAtZero_IsForgottenWithTheNextThatDidNotBlock()
    {
        // What their notes leave when one was overwritten in between.
        Habit torn = new(weight: 0, isKnown: true);

        Assert.True(torn.Note(did: false));

        Assert.False(torn.IsKnown);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void HandOff_OfADispatchThatIsBlocked_Demotes(bool isBlocked)
    {
        DispatchProfile profile = Begun();

        profile.HandedOff(isBlocked);

        Assert.Equal(!isBlocked, profile.RunsInline);
        Assert.Equal(isBlocked ? 1 : 0, _counters.Demotions);
        Assert.False(profile.IsLong);
        Assert.Equal(!isBlocked, new DispatchProfile(_history).RunsInline);
    }

    [Fact]
    public void DispatchesThatDoNotBlock_OffTheLoop_PromoteWhenTheyOutweighThoseThatDid()
    {
        DispatchProfile slept = Begun();
        for (int i = 0; i < 3; i++)
        {
            slept.Note(Took(_long, slept: true));
        }

        Assert.Equal(96, OthersUntilInline(ref slept));

        // A hand-off weighs as four.
        DispatchProfile handedOff = new(new DispatchHistory(TimeSpan.FromMicroseconds(100), _counters));
        handedOff.Begin();
        handedOff.HandedOff(isBlocked: true);
        Assert.Equal(128, OthersUntilInline(ref handedOff));
        Assert.Equal(2, _counters.Promotions);
    }

    [Theory]
    [InlineData(20, true)]
    [InlineData(50, false)]
    public void DispatchesThatSlept_OneInSoMany_StayOffTheLoopIfTheyAreMoreThanOneIn33(int oneIn, bool staysOff)
    {
        DispatchProfile profile = Begun();
        for (int i = 0; i < 300; i++)
        {
            profile.Note(Took(_long, slept: true));
            NoteOthers(ref profile, oneIn - 1);
            Assert.True(i < 100 || profile.RunsInline == !staysOff);
        }
    }

    [Fact]
    public void ConnectionThatAlwaysSlept_AndNoLongerDoes_ComesBackAfterABoundedRun()
    {
        DispatchProfile profile = Begun();
        for (int i = 0; i < 10_000; i++)
        {
            profile.Note(Took(_long, slept: true));
        }

        Assert.Equal(256, OthersUntilInline(ref profile));
    }

    [Fact]
    public void Endpoint_WhoseConnectionsBeginWithSleep_StartsTheNextOnesOffTheLoop()
    {
        for (int i = 0; i < 3; i++)
        {
            DispatchProfile start = Begun();
            Assert.True(start.RunsInline);
            start.Note(Took(_long, slept: true));
        }

        DispatchProfile next = new(_history);
        Assert.False(next.RunsInline);
        next.Begin();
        Assert.False(next.RunsInline);
        Assert.True(next.IsQuick);
        Assert.Equal(32, OthersUntilInline(ref next));

        // They no longer do: so do those that come.
        for (int i = 0; i < 20; i++)
        {
            DispatchProfile other = Begun();
            NoteOthers(ref other, 20);
        }

        Assert.True(new DispatchProfile(_history).RunsInline);
    }

    [Theory]
    [InlineData(20, true)]
    [InlineData(6, false)]
    public void Endpoint_WithOneStartThatSleepsAmongMany_DecidesByTheirShare(int oneIn, bool startsInline)
    {
        for (int i = 0; i < 5_000; i++)
        {
            _history.NoteStart(Took(0, slept: i % oneIn == 0));
        }

        Assert.Equal(startsInline, !_history.StartsBlock);
    }

    [Fact]
    public void LaterDispatches_OfAConnection_DoNotCountAsStarts()
    {
        DispatchProfile profile = Begun();
        NoteOthers(ref profile, 10);
        for (int i = 0; i < 10; i++)
        {
            profile.Note(Took(_long, slept: true));
        }

        Assert.False(profile.RunsInline);
        Assert.False(_history.StartsBlock);
    }

    [Fact]
    public void Start_WhereOthersTakeLong_IsExpectedTo()
    {
        // As TLS handshakes do.
        for (int i = 0; i < 40; i++)
        {
            DispatchProfile start = Begun();
            start.Note(Took(2 * _long, slept: false));
        }

        DispatchProfile next = new(_history);
        Assert.True(next.RunsInline);
        Assert.True(next.IsLong);
        next.Begin();
        NoteOthers(ref next, 4);
        Assert.False(next.IsLong);
    }

    [Fact]
    public void Limit_OfADispatch_IsThatOfAllTheReadsThatItServed()
    {
        // Far more than the limit ago; and a thousand reads that share it, far less than the limit each.
        long began = Stopwatch.GetTimestamp() - (Stopwatch.Frequency / 100);
        DispatchProfile pipelined = Begun();
        DispatchProfile single = new(new DispatchHistory(TimeSpan.FromMicroseconds(100), _counters));
        single.Begin();

        pipelined.End(began, 100_000);
        single.End(began, 1);

        Assert.False(_history.StartsAreSuspected);
        Assert.False(single.IsQuick);
    }

    [Fact]
    public void Start_OfAnEndpointThatIsSuspected_IsLookedIntoAndTellsThatItSlept()
    {
        // A collection at just that moment would hide it: one turn is proof enough.
        bool told = false;
        for (int turn = 0; turn < 10 && !told; turn++)
        {
            DispatchHistory history = new(TimeSpan.FromMicroseconds(100), _counters);
            history.NoteStart(Took(_long, slept: null));
            for (int start = 0; start < 2; start++)
            {
                DispatchProfile profile = new(history);
                long began = profile.Begin();
                Thread.Sleep(5);
                profile.End(began, 1);
            }

            told = history.StartsBlock;
        }

        Assert.True(told);
    }

    [Fact]
    public void Parts_ThatAreShort_DoNotOutweighADispatchThatBlocked()
    {
        DispatchProfile profile = Begun();
        profile.HandedOff(isBlocked: true);

        bool isQuick = false;
        for (int i = 0; i < 1000; i++)
        {
            profile.End(profile.Begin(), 1, isPart: true);
            isQuick |= profile.PartLane == WorkLane.Quick;
        }

        Assert.False(profile.RunsInline);
        Assert.Equal(WorkLane.Slow, profile.Lane);
        Assert.True(isQuick);
    }

    [Fact]
    public void Parts_OfAConnectionThatOnlyWrites_TellAtLastThatItNoLongerBlocks()
    {
        DispatchProfile profile = Begun();
        profile.HandedOff(isBlocked: true);

        for (int i = 0; i < 100_000 && !profile.RunsInline; i++)
        {
            profile.End(profile.Begin(), 1, isPart: true);
        }

        Assert.True(profile.RunsInline);
    }

    [Fact]
    public void Parts_ThatBlock_TellIt()
    {
        // A collection at just that moment would hide one.
        DispatchProfile profile = Begun();
        for (int i = 0; i < 20 && profile.RunsInline; i++)
        {
            long began = profile.Begin();
            Thread.Sleep(2);
            profile.End(began, 1, isPart: true);
        }

        Assert.False(profile.RunsInline);
    }

    [Fact]
    public void ProfileWithoutHistory_MeasuresNothing()
    {
        DispatchProfile profile = new(null);

        Assert.Equal(0, profile.Begin());
        profile.End(0, 1);
        profile.End(0, 1, isPart: true);

        Assert.True(profile.RunsInline);
        Assert.False(profile.IsLong);
    }

    private DispatchProfile Begun()
    {
        DispatchProfile profile = new(_history);
        profile.Begin();
        return profile;
    }

    private static void NoteOthers(ref DispatchProfile profile, int count)
    {
        for (int i = 0; i < count; i++)
        {
            profile.Note(Took(0, slept: false));
        }
    }

    private static int OthersUntilInline(ref DispatchProfile profile)
    {
        for (int i = 1; i <= 10_000; i++)
        {
            profile.Note(Took(0, slept: false));
            if (profile.RunsInline)
            {
                return i;
            }
        }

        return -1;
    }

    private static DispatchTime Took(long ticks, bool? slept) => new(ticks, slept, slept == false ? ticks : 0);
}
