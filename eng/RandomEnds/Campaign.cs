using System.Collections.Concurrent;
using System.Diagnostics;
using RandomEnds.Judging;
using RandomEnds.Plans;
using RandomEnds.Running;
using RandomEnds.Transports;

namespace RandomEnds;

/// <summary>Runs many cases, each over every transport, and keeps those that break a rule.</summary>
internal sealed class Campaign(CampaignOptions options)
{
    private readonly ConcurrentQueue<FailedCase> _failed = new();
    private readonly Dictionary<Subject, TransportUnderTest> _transports =
        options.Subjects.ToDictionary(static subject => subject, static subject => new TransportUnderTest(subject));

    private readonly Dictionary<Subject, long> _ticks = options.Subjects.ToDictionary(static subject => subject, static _ => 0L);
    private int _begun;
    private int _ran;

    /// <summary>The cases that broke a rule, in no order.</summary>
    public IReadOnlyCollection<FailedCase> Failed => _failed;

    public int Ran => _ran;

    /// <summary>What was logged above Debug.</summary>
    public IEnumerable<string> LoggedAboveDebug =>
        _transports.SelectMany(static t => t.Value.Logs.AboveDebug.Select(line => $"{t.Key}: {line}"));

    public bool HasFailed => !_failed.IsEmpty || LoggedAboveDebug.Any();

    /// <summary>Time that the cases of each transport took, of all lanes together.</summary>
    public IEnumerable<(Subject Subject, TimeSpan Time)> Times =>
        _ticks.Select(static t => (t.Key, Stopwatch.GetElapsedTime(0, t.Value)));

    public async Task RunAsync()
    {
        int lanes = Math.Min(options.Lanes, options.Cases);
        await Task.WhenAll(Enumerable.Range(0, lanes).Select(_ => Task.Run(RunLaneAsync)));
        foreach (TransportUnderTest transport in _transports.Values)
        {
            transport.Dispose();
        }
    }

    private async Task RunLaneAsync()
    {
        await using Lane lane = await Lane.OpenAsync(_transports, options.Limit);
        while (Interlocked.Increment(ref _begun) is var begun && begun <= options.Cases && _failed.Count < options.MaxFailures)
        {
            CasePlan plan = Planner.Create(options.Seed, options.First + (begun - 1) * options.Step);
            if (options.Ends.Count == 0 || options.Ends.Contains(plan.End))
            {
                await RunCaseAsync(lane, plan);
                Interlocked.Increment(ref _ran);
            }
        }
    }

    private async Task RunCaseAsync(Lane lane, CasePlan plan)
    {
        List<Observation> seen = [];
        foreach (Subject subject in _transports.Keys)
        {
            long start = Stopwatch.GetTimestamp();
            seen.Add(await lane.RunAsync(subject, plan));
            lock (_ticks)
            {
                _ticks[subject] += Stopwatch.GetTimestamp() - start;
            }
        }

        List<Finding> findings = Judge(plan, seen);
        var ran = new FailedCase(plan, findings, seen);
        if (findings.Count > 0)
        {
            _failed.Enqueue(ran);
            Console.WriteLine($"  failed: case {plan.Number}, {plan.End}; {string.Join("; ", findings.Select(static f => $"{f.Subject}, rule {f.Rule}: {f.What}"))}");
        }
        else if (options.IsVerbose)
        {
            Console.WriteLine(ran);
        }
    }

    /// <summary>The rules first: what breaks one differs from Sockets as well, and need not be told twice.</summary>
    private static List<Finding> Judge(CasePlan plan, List<Observation> seen)
    {
        List<Finding> findings = [.. seen.SelectMany(one => Rules.Judge(plan, one))];
        if (seen.Find(static one => one.Subject == Subject.Sockets) is { } sockets)
        {
            HashSet<Subject> wrong = [Subject.Sockets, .. findings.Select(static f => f.Subject)];
            findings.AddRange(seen.Where(one => !wrong.Contains(one.Subject)).SelectMany(ours => Comparison.Judge(plan, sockets, ours)));
        }

        return findings;
    }
}
