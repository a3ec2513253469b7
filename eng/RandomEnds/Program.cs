// Ends connections in random ways at random points of random exchanges, over Sockets and over each of our modes, and
// fails if an application or a client sees what the rules forbid, or something else than over Sockets.
//   --cases N  --seed N          so many cases; the seed makes the same ones again
//   --case NUMBER --seed N       one of them, with its transcripts
//   --transport NAME             only Sockets, Adaptive, ThreadPool or UnsafeInline, by the rules alone
//   --end NAME                   only cases with this end; may be given again
//   --lanes N                    cases at the same time
//   --limit SECONDS              before a case counts as stuck
//   --failures N                 failed cases before it gives up
using System.Diagnostics;
using System.Globalization;
using RandomEnds;

CampaignOptions options;
try
{
    options = CampaignOptions.Parse(args);
}
catch (FormatException e)
{
    Console.Error.WriteLine(e.Message);
    return 2;
}

Console.WriteLine($"ends: {options.Cases} cases, seed {options.Seed}");
List<string> unobserved = [];
TaskScheduler.UnobservedTaskException += (_, e) =>
{
    lock (unobserved)
    {
        unobserved.Add(e.Exception.ToString());
    }
};

long start = Stopwatch.GetTimestamp();
var campaign = new Campaign(options);
Task running = campaign.RunAsync();
while (await Task.WhenAny(running, Task.Delay(TimeSpan.FromMinutes(1))) != running)
{
    Console.WriteLine($"  {campaign.Ran} cases, {campaign.Failed.Count} of them failed");
}

await running;
double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;

// Tasks that failed unseen report when they are collected.
GC.Collect();
GC.WaitForPendingFinalizers();

if (campaign.HasFailed)
{
    Console.WriteLine(Report.Create(campaign));
}

// A case that failed leaves tasks behind that nobody awaits.
if (campaign.HasFailed)
{
    unobserved.Clear();
}

foreach (string error in unobserved.Take(10))
{
    Console.WriteLine($"an exception that nobody observed: {error}");
}

Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {campaign.Ran} cases in {seconds:F1} s, {campaign.Ran / seconds:F0} cases/s, each over {campaign.Times.Count()} transports"));
foreach (var (subject, time) in campaign.Times)
{
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {subject,-14}{time.TotalMilliseconds / Math.Max(1, campaign.Ran),8:F2} ms a case"));
}

bool failed = campaign.HasFailed || unobserved.Count > 0;
Console.WriteLine(failed ? $"ends: FAILED, {campaign.Failed.Count} of {campaign.Ran} cases, seed {options.Seed}" : "ends: ok");
return failed ? 1 : 0;
