using System.Globalization;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Microbenchmarks;
using Perfolizer.Horology;

// In this process: what is measured is internal, and a second build of it for every job would prove nothing more.
Job job = Job.Default.WithToolchain(InProcessEmitToolchain.Instance);
if (args.Contains("--quick"))
{
    // Enough to see allocations, not times.
    job = job.WithWarmupCount(2).WithIterationCount(3).WithIterationTime(TimeInterval.FromMilliseconds(200));
}

IConfig config = DefaultConfig.Instance
    .AddJob(job)
    .AddDiagnoser(MemoryDiagnoser.Default)
    .WithArtifactsPath(Path.Combine(AppContext.BaseDirectory, "results"));
string[] rest = [.. args.Where(argument => argument != "--quick")];
IEnumerable<Summary> summaries = BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(rest.Length == 0 ? ["--filter", "*"] : rest, config);

// What belongs to the transport allocates nothing. A baseline may: it is somebody else's. An object has 24 bytes at least; what
// the process allocates by itself meanwhile shows as a few bytes when there are few operations.
const int Noise = 16;
int ran = 0;
int failed = 0;
foreach (BenchmarkReport report in summaries.SelectMany(summary => summary.Reports))
{
    ran++;
    bool isOurs = report.BenchmarkCase.Descriptor.Categories.Contains(Categories.Ours);
    long? allocated = report.GcStats.GetBytesAllocatedPerOperation(report.BenchmarkCase);
    if (!report.Success || (isOurs && allocated is not < Noise))
    {
        failed++;
        string bytes = allocated?.ToString(CultureInfo.InvariantCulture) ?? "an unknown number of";
        Console.WriteLine($"FAILED: {report.BenchmarkCase.DisplayInfo}: {bytes} bytes an operation");
    }
}

Console.WriteLine($"{ran} benchmarks, {failed} failed");
return ran > 0 && failed == 0 ? 0 : 1;
