// Opens, uses, aborts and closes connections over the transport from many threads, and fails if a byte is wrong, an
// end is missing, or anything is left behind. Run it with eng/stress.sh; the seed it prints makes the same plans again.
//   --what Connections|ProxyProtocol|ConnectionLimits     the transport itself, or Kestrel with the middleware
//   --seconds N  --seed N  --transport epoll|sockets  --scheduling Adaptive|ThreadPool|UnsafeInline
using System.Diagnostics;
using StressTool;
using StressTool.ConnectionLimits;
using StressTool.ProxyProtocol;

// What the runtime keeps for itself: code, pools of tasks and of buffers.
const long MostMemoryMore = 16 * 1024 * 1024;

StressOptions options;
try
{
    options = StressOptions.Parse(args);
}
catch (FormatException e)
{
    Console.Error.WriteLine(e.Message);
    return 2;
}

// Enough threads that they are preempted in the middle of things, whatever the number of processors.
ThreadPool.SetMinThreads(32, 32);
string how = $"{(options.UseSockets ? "sockets" : "epoll")}, {options.Scheduling}{(options.What == Subject.Connections ? "" : $", {options.What}")}";
Console.WriteLine($"stress: {how}, {options.Seconds} s, seed {options.Seed}");

// A short run first: what the runtime opens once and keeps is then open, and doesn't look like a leak.
var warmUp = new Figures();
await RunAsync(options with { Seconds = Math.Min(1, options.Seconds) }, warmUp);
SortedDictionary<int, string> descriptors = await ProcessResources.SettledDescriptorsAsync();
List<string> threads = ProcessResources.Threads();
long memory = GC.GetTotalMemory(forceFullCollection: true);

if (warmUp.Failed)
{
    warmUp.Print(1);
    Console.WriteLine($"stress: FAILED in the warm-up ({how}, seed {options.Seed})");
    return 1;
}

var figures = new Figures();
TaskScheduler.UnobservedTaskException += (_, e) => figures.Fail($"an exception that nobody observed: {e.Exception}");
long start = Stopwatch.GetTimestamp();
await RunAsync(options, figures);
double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;

await figures.RequireSoonAsync(
    () => ProcessResources.Descriptors().Count <= descriptors.Count,
    () => "descriptors left open: " + string.Join(", ", ProcessResources.Descriptors().Except(descriptors).Select(static d => $"{d.Key} {d.Value}")));
await figures.RequireSoonAsync(
    () => ProcessResources.Threads().Count <= threads.Count,
    () => $"threads left running: {string.Join(", ", ProcessResources.Threads())}; before: {string.Join(", ", threads)}");

// Tasks that failed unseen report when they are collected.
await figures.RequireSoonAsync(
    () => GC.GetTotalMemory(forceFullCollection: true) <= memory + MostMemoryMore,
    () => $"{GC.GetTotalMemory(forceFullCollection: true):n0} bytes are in use; before: {memory:n0}");
GC.WaitForPendingFinalizers();

figures.Print(seconds);
Console.WriteLine($"  {"descriptors before, after",-36}{$"{descriptors.Count}, {ProcessResources.Descriptors().Count}",16}");
Console.WriteLine($"  {"threads of ours before, after",-36}{$"{threads.Count}, {ProcessResources.Threads().Count}",16}");
Console.WriteLine($"  {"memory before, after",-36}{$"{memory:n0}, {GC.GetTotalMemory(forceFullCollection: true):n0}",16}");
Console.WriteLine(figures.Failed ? $"stress: FAILED ({how}, seed {options.Seed})" : "stress: ok");
return figures.Failed ? 1 : 0;

static Task RunAsync(StressOptions options, Figures figures) => options.What switch
{
    Subject.ProxyProtocol => new ProxyRun(options, figures).RunAsync(),
    Subject.ConnectionLimits => new LimitsRun(options, figures).RunAsync(),
    _ => new StressRun(options, figures).RunAsync(),
};
