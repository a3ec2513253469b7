using RandomEnds;
using RandomEnds.Plans;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>
/// 10,000 connections that end in random ways at random points, over Sockets and in each of our modes. The plans, the
/// rules and the comparison are eng/RandomEnds; eng/ends.sh runs as many as you like, and one that failed again.
/// </summary>
public class RandomEndsTests
{
    /// <summary>Always the same cases; eng/ends.sh takes new ones each time.</summary>
    private const int Seed = 1;

    private const int CasesOfAScript = 2_000;

    /// <summary>Each case has a limit of its own, and names what it waits for. This is for the run as a whole.</summary>
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(3);

    [Theory]
    [InlineData(nameof(Script.Request))]
    [InlineData(nameof(Script.Upload))]
    [InlineData(nameof(Script.Download))]
    [InlineData(nameof(Script.Upgrade))]
    [InlineData(nameof(Script.Pipeline))]
    public async Task RandomEnds_OfOneScript_KeepTheRulesAndAreAsOnSockets(string script)
    {
        var campaign = new Campaign(new CampaignOptions
        {
            Seed = Seed,
            First = (int)Enum.Parse<Script>(script),
            Step = Planner.Scripts,
            Cases = CasesOfAScript,
            // Enough to see what is wrong: a case that hangs takes its time.
            MaxFailures = 20,
        });

        // Away from the runner's context, which allows only so many continuations at a time.
        await Task.Run(campaign.RunAsync).WaitAsync(s_limit);

        Assert.False(campaign.HasFailed, Report.Create(campaign));
        Assert.Equal(CasesOfAScript, campaign.Ran);
    }
}
