using RandomEnds;
using RandomEnds.Judging;
using RandomEnds.Plans;
using RandomEnds.Running;
using RandomEnds.Transports;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>That <see cref="RandomEndsTests"/> can fail: each rule finds what breaks it, and nothing else does.</summary>
public class RandomEndsRulesTests
{
    private const int Cases = 1_000;

    [Fact]
    public void Plan_OfTheSameSeedAndNumber_IsTheSame() =>
        Assert.All(Enumerable.Range(0, Cases), static number =>
        {
            CasePlan first = Planner.Create(3, number);
            CasePlan second = Planner.Create(3, number);
            Assert.Equal(first.Before, second.Before);
            Assert.Equal(first with { Before = [] }, second with { Before = [] });
        });

    [Fact]
    public void Plans_OfOneRun_HaveEveryScriptWithEveryEndOnBothFamilies() =>
        Assert.Equal(
            Enum.GetValues<Script>().Length * Enum.GetValues<End>().Length * Enum.GetValues<Family>().Length,
            Enumerable.Range(0, Cases).Select(static n => Planner.Create(4, n)).Select(static p => (p.Script, p.End, p.Family)).Distinct().Count());

    [Fact]
    public void CleanEnd_BehindAllBytes_KeepsTheRules() => Assert.Empty(Judge(End.ClientClose, static _ => { }));

    [Fact]
    public void CleanEnd_BytesMissing_IsFound() =>
        Assert.Equal(Rules.CleanEnd, Assert.Single(Judge(End.ClientClose, static seen => seen.Read--)).Rule);

    [Fact]
    public void CleanEnd_ToldAsAnError_IsFound() =>
        Assert.Equal(Rules.CleanEnd, Assert.Single(Judge(End.ClientClose, static seen => seen.ReadEnd = seen.ReadAgain = "IOException: no")).Rule);

    [Fact]
    public void Reset_ToldAsACleanEnd_IsFound() =>
        Assert.Equal(Rules.Reset, Assert.Single(Judge(End.ClientReset, static seen => seen.AllArrived = true)).Rule);

    [Fact]
    public void OwnAbort_ToldAsACleanEnd_IsFound() =>
        Assert.Contains(Judge(End.AbortNull, static _ => { }), static f => f.Rule == Rules.OwnEnd);

    [Fact]
    public void WrongBytes_AreFound() =>
        Assert.Equal(Rules.Prefix, Assert.Single(Judge(End.ClientClose, static seen => seen.WrongBytes.Enqueue("wrong"))).Rule);

    [Fact]
    public void Hang_IsFoundAndNothingElseIsSaid() =>
        Assert.Equal(Rules.Liveness, Assert.Single(Judge(End.ClientClose, static seen => (seen.HungWhile, seen.Read) = ("waiting", 0))).Rule);

    [Fact]
    public void Comparison_OneByteFewerThanOnSockets_IsFound()
    {
        CasePlan plan = PlanOf(End.ClientClose);
        Observation ours = SeenOfACleanEnd(plan, Subject.Adaptive);
        ours.Read--;
        Assert.StartsWith(Comparison.Rule, Assert.Single(Comparison.Judge(plan, SeenOfACleanEnd(plan, Subject.Sockets), ours)).Rule, StringComparison.Ordinal);
    }

    private static List<Finding> Judge(End end, Action<Observation> change)
    {
        CasePlan plan = PlanOf(end);
        Observation seen = SeenOfACleanEnd(plan, Subject.Adaptive);
        change(seen);
        return [.. Rules.Judge(plan, seen)];
    }

    private static CasePlan PlanOf(End end) => Enumerable.Range(0, Cases)
        .Select(static number => Planner.Create(5, number))
        .First(plan => plan.End == end && plan.Unread > 0 && plan.Outstanding == 0 && plan.FitsAhead);

    private static Observation SeenOfACleanEnd(CasePlan plan, Subject subject) => new(subject)
    {
        Read = plan.Sent,
        ReadEnd = Observation.CleanEnd,
        ReadAgain = Observation.CleanEnd,
        TokenFired = true,
        Flushed = plan.Flushed,
        Received = plan.Flushed,
        FlushIsCompleted = false,
    };
}
