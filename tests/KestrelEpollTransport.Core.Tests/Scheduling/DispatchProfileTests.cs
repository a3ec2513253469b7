using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Scheduling;

public class DispatchProfileTests
{
    private readonly SchedulingCounters _counters = new(1);
    private readonly DispatchHistory _history;

    public DispatchProfileTests() => _history = new DispatchHistory(TimeSpan.FromMicroseconds(100), _counters);

    [Fact]
    public void NewConnection_OfAnUnknownEndpoint_StartsInline() =>
        Assert.True(new DispatchProfile(_history).RunsInline);

    [Fact]
    public void OneDearDispatch_AmongCheapOnes_StaysInline()
    {
        DispatchProfile profile = new(_history);
        profile.Begin();
        for (int i = 0; i < 20; i++)
        {
            profile.Note(isDear: true, isDearStart: true);
            NoteCheap(ref profile, 40);
            Assert.True(profile.RunsInline);
        }

        Assert.Equal(0, _counters.Demotions);
    }

    [Fact]
    public void ThreeDearDispatches_CloseToEachOther_Demote()
    {
        DispatchProfile profile = new(_history);
        profile.Begin();
        profile.Note(isDear: true, isDearStart: true);
        NoteCheap(ref profile, 20);
        profile.Note(isDear: true, isDearStart: true);
        Assert.True(profile.RunsInline);
        NoteCheap(ref profile, 5);

        profile.Note(isDear: true, isDearStart: true);

        Assert.False(profile.RunsInline);
        Assert.Equal(1, _counters.Demotions);
    }

    [Fact]
    public void DearKind_ThatTwoThreadsLeftAtZero_ComesBackWithTheNextCheapOne()
    {
        // What their notes leave when one was overwritten in between.
        CostScore torn = new(weight: 0, isDear: true);

        Assert.True(torn.Note(isDear: false));

        Assert.False(torn.IsDear);
    }

    [Fact]
    public void HandOff_OfOneDispatch_Demotes()
    {
        DispatchProfile profile = new(_history);
        profile.Begin();

        profile.HandedOff(isBlocked: true);

        Assert.False(profile.RunsInline);
        Assert.Equal(1, _counters.Demotions);
    }

    [Fact]
    public void CheapDispatches_OffTheLoop_PromoteWhenTheyOutweighTheDear()
    {
        DispatchProfile dear = new(_history);
        dear.Begin();
        for (int i = 0; i < 3; i++)
        {
            dear.Note(isDear: true, isDearStart: true);
        }

        Assert.Equal(96, CheapUntilInline(ref dear));

        // A hand-over weighs as four.
        DispatchProfile handedOff = new(new DispatchHistory(TimeSpan.FromMicroseconds(100), _counters));
        handedOff.Begin();
        handedOff.HandedOff(isBlocked: true);
        Assert.Equal(128, CheapUntilInline(ref handedOff));
        Assert.Equal(2, _counters.Promotions);
    }

    [Theory]
    [InlineData(20, true)]
    [InlineData(50, false)]
    public void DearDispatches_OneInSoMany_StayOffTheLoopIfTheyAreMoreThanOneIn33(int oneIn, bool staysOff)
    {
        DispatchProfile profile = new(_history);
        profile.Begin();
        for (int i = 0; i < 100; i++)
        {
            profile.Note(isDear: true, isDearStart: true);
            NoteCheap(ref profile, oneIn - 1);
        }

        for (int i = 0; i < 200; i++)
        {
            profile.Note(isDear: true, isDearStart: true);
            NoteCheap(ref profile, oneIn - 1);
            Assert.Equal(staysOff, !profile.RunsInline);
        }
    }

    [Fact]
    public void EverDearConnection_ThatBecomesCheap_ComesBackAfterABoundedRun()
    {
        DispatchProfile profile = new(_history);
        profile.Begin();
        for (int i = 0; i < 10_000; i++)
        {
            profile.Note(isDear: true, isDearStart: true);
        }

        Assert.Equal(256, CheapUntilInline(ref profile));
    }

    [Fact]
    public void Endpoint_WhoseConnectionsBeginDear_StartsTheNextOnesOffTheLoop()
    {
        for (int i = 0; i < 3; i++)
        {
            DispatchProfile handshake = new(_history);
            handshake.Begin();
            Assert.True(handshake.RunsInline);
            handshake.Note(isDear: true, isDearStart: true);
        }

        DispatchProfile next = new(_history);
        Assert.False(next.RunsInline);
        next.Begin();
        Assert.False(next.RunsInline);
        Assert.True(next.IsQuick);
        next.Note(isDear: true, isDearStart: true);
        Assert.False(next.IsQuick);
        NoteCheap(ref next, 1);
        Assert.True(next.IsQuick);
        next = new(_history);
        next.Begin();
        Assert.Equal(32, CheapUntilInline(ref next));

        // It became cheap, as when the code was compiled: so do those that come.
        for (int i = 0; i < 20; i++)
        {
            DispatchProfile cheap = new(_history);
            cheap.Begin();
            NoteCheap(ref cheap, 20);
        }

        Assert.True(new DispatchProfile(_history).RunsInline);
    }

    [Theory]
    [InlineData(20, true)]
    [InlineData(6, false)]
    public void Endpoint_WithOneDearStartAmongMany_DecidesByTheirShare(int oneIn, bool startsInline)
    {
        for (int i = 0; i < 5_000; i++)
        {
            _history.NoteStart(isDear: i % oneIn == 0, DispatchUse.Computed);
        }

        Assert.Equal(startsInline, _history.StartsInline);
    }

    [Fact]
    public void LaterDispatches_OfAConnection_DoNotCountAsStarts()
    {
        DispatchProfile profile = new(_history);
        profile.Begin();
        NoteCheap(ref profile, 10);
        for (int i = 0; i < 10; i++)
        {
            profile.Note(isDear: true, isDearStart: true);
        }

        Assert.False(profile.RunsInline);
        Assert.True(_history.StartsInline);
    }

    [Fact]
    public void Cost_OfADispatch_IsSharedByTheReadsThatItServed()
    {
        // Far more than the limit ago; and a thousand reads that share it, far less than the limit each.
        long began = TimeProvider.System.GetTimestamp() - (TimeProvider.System.TimestampFrequency / 100);
        DispatchProfile pipelined = new(_history);
        pipelined.Begin();
        DispatchProfile single = new(_history);
        single.Begin();
        for (int i = 0; i < 3; i++)
        {
            pipelined.End(began, 100_000);
            single.End(began, 1);
        }

        Assert.True(pipelined.RunsInline);
        Assert.False(single.RunsInline);
    }

    [Fact]
    public void StartsThatAreDearForAConnectionOnly_KeepTheNextConnectionsInline()
    {
        for (int i = 0; i < 20; i++)
        {
            DispatchProfile profile = new(_history);
            profile.Begin();
            profile.Note(isDear: true, isDearStart: false);
            profile.Note(isDear: true, isDearStart: false);
            profile.Note(isDear: true, isDearStart: false);
            Assert.False(profile.RunsInline);
        }

        Assert.True(_history.StartsInline);
    }

    [Fact]
    public void Connection_ThatSleptTwice_MayBlockForAWhile()
    {
        DispatchProfile profile = new(_history);
        profile.Begin();
        profile.Note(isDear: true, isDearStart: false, use: DispatchUse.Slept);
        Assert.False(profile.MayBlock);
        NoteCheap(ref profile, 20);
        profile.Note(isDear: true, isDearStart: false);
        Assert.False(profile.MayBlock);

        profile.Note(isDear: true, isDearStart: false, use: DispatchUse.Slept);

        Assert.True(profile.MayBlock);
        NoteCheap(ref profile, 40);
        Assert.True(profile.MayBlock);
        for (int i = 0; i < 10; i++)
        {
            profile.Note(isDear: true, isDearStart: false, DispatchUse.Unknown);
        }

        Assert.True(profile.MayBlock);
        NoteCheap(ref profile, 24);
        Assert.False(profile.MayBlock);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void HandOff_TellsWhetherTheConnectionAndTheNextOnesMayBlock(bool isBlocked)
    {
        DispatchProfile profile = new(_history);
        profile.Begin();

        profile.HandedOff(isBlocked);

        Assert.Equal(isBlocked, profile.MayBlock);
        DispatchProfile next = new(_history);
        Assert.Equal(isBlocked, next.MayBlock);
        next.Begin();
        Assert.Equal(isBlocked, next.MayBlock);
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(3, true)]
    [InlineData(4, false)]
    public void SeenBlocked_TellsTheNextConnections_AsLongAsItIsAStart(int before, bool tells)
    {
        DispatchProfile profile = new(_history);
        profile.Begin();
        NoteCheap(ref profile, before);

        profile.SeenBlocked();

        Assert.True(profile.MayBlock);
        Assert.Equal(tells, new DispatchProfile(_history).MayBlock);
    }

    [Fact]
    public void Endpoint_WhoseDearStartsComputeNowAndThen_GivesNewConnectionsThreadsWhileSomeSleep()
    {
        Assert.False(_history.StartsBlock);
        for (int i = 0; i < 100; i++)
        {
            _history.NoteStart(isDear: true, i % 10 == 0 ? DispatchUse.Slept : DispatchUse.Computed);
            Assert.True(_history.StartsBlock);
        }

        DispatchProfile begun = new(_history);
        begun.Begin();
        Assert.True(begun.MayBlock);
        NoteCheap(ref begun, 4);
        Assert.False(begun.MayBlock);
        for (int i = 0; i < 100; i++)
        {
            _history.NoteStart(isDear: true, DispatchUse.Unknown);
        }

        Assert.True(_history.StartsBlock);
        for (int i = 0; i < 100; i++)
        {
            _history.NoteStart(isDear: true, DispatchUse.Computed);
        }

        Assert.False(_history.StartsBlock);
    }

    [Fact]
    public void Limit_WhereAllDispatchesTakeLong_IsAMultipleOfWhatIsTypicalUpToABound()
    {
        long limit = _history.LimitTicks;
        NoteCosts(0, 1_000);
        Assert.Equal(limit, _history.LimitTicks);

        NoteCosts(limit * 6 / 10, 1_000);
        Assert.InRange(_history.LimitTicks, limit * 17 / 10, limit * 19 / 10);

        NoteCosts(limit * 100, 1_000);
        Assert.Equal(4 * limit, _history.LimitTicks);
    }

    [Fact]
    public void Limit_AfterDispatchesThatMayHaveSlept_StaysWhatItIs()
    {
        long limit = _history.LimitTicks;
        for (int i = 0; i < 500; i++)
        {
            // Began long ago, and nobody had asked the kernel.
            DispatchProfile profile = new(_history);
            profile.Begin();
            profile.End(TimeProvider.System.GetTimestamp() - TimeProvider.System.TimestampFrequency, 1);
        }

        Assert.Equal(limit, _history.LimitTicks);
    }

    [Fact]
    public void Start_OfAnEndpointWithAStrike_IsLookedIntoAndTellsThatItSlept()
    {
        // A collection at just that moment would hide it: one turn is proof enough.
        bool told = false;
        for (int turn = 0; turn < 10 && !told; turn++)
        {
            DispatchHistory history = new(TimeSpan.FromMicroseconds(100), _counters);
            history.NoteStart(isDear: true, DispatchUse.Computed);
            DispatchProfile profile = new(history);
            long began = profile.Begin();
            Thread.Sleep(5);
            profile.End(began, 1);
            told = history.StartsBlock;
        }

        Assert.True(told);
    }

    [Fact]
    public void Limit_WhereLessThanHalfOfTheDispatchesTakeLong_StaysWhatItIs()
    {
        long limit = _history.LimitTicks;
        for (int i = 0; i < 10_000; i++)
        {
            _history.NoteCost(i % 10 < 4 ? limit * 2 : limit / 10);
        }

        Assert.Equal(limit, _history.LimitTicks);
    }

    [Fact]
    public void ProfileWithoutHistory_MeasuresNothing()
    {
        DispatchProfile profile = new(null);

        Assert.Equal(0, profile.Begin());
        profile.End(0, 1);
        profile.End(0, 1);

        Assert.True(profile.RunsInline);
    }

    private static void NoteCheap(ref DispatchProfile profile, int count)
    {
        for (int i = 0; i < count; i++)
        {
            profile.Note(isDear: false, isDearStart: false);
        }
    }

    private void NoteCosts(long ticks, int count)
    {
        for (int i = 0; i < count; i++)
        {
            _history.NoteCost(ticks);
        }
    }

    private static int CheapUntilInline(ref DispatchProfile profile)
    {
        for (int i = 1; i <= 10_000; i++)
        {
            profile.Note(isDear: false, isDearStart: false);
            if (profile.RunsInline)
            {
                return i;
            }
        }

        return -1;
    }
}
