using BenchmarkDotNet.Attributes;
using KestrelEpollTransport;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Scheduling;
using Microsoft.Extensions.Logging.Abstractions;

namespace Microbenchmarks;

/// <summary>What it costs to run something somewhere: measured on the loop, posted to the loop, off the loop.</summary>
[CategoriesColumn]
public class Dispatching
{
    private readonly Signal _signal = new();
    private SchedulingParts _parts = null!;
    private Permit _permit;
    private DispatchProfile _profile;

    [GlobalSetup]
    public void Start()
    {
        _parts = new SchedulingParts(new EpollTransportOptions(), NullLogger.Instance);
        _profile = new DispatchProfile(new DispatchHistory(TimeSpan.FromMilliseconds(1), new SchedulingCounters(1)));
    }

    [GlobalCleanup]
    public void Stop() => _parts.Dispose();

    [Benchmark(Description = "begin and end, measured")]
    [BenchmarkCategory(Categories.Ours)]
    public bool BeginAndEnd()
    {
        long dispatch = _permit.Begin();
        long began = _profile.Begin();
        _profile.End(began, reads: 1);
        return _permit.TryEnd(dispatch);
    }

    [Benchmark(Baseline = true, Description = "thread pool, and back")]
    public void Pool()
    {
        ThreadPool.UnsafeQueueUserWorkItem(_signal, preferLocal: false);
        _signal.Wait();
    }

    [Benchmark(Description = "post to a loop, and back")]
    [BenchmarkCategory(Categories.Ours)]
    public void Loop()
    {
        _parts.Loops.Loops[0].Post(_signal);
        _signal.Wait();
    }

    [Benchmark(Description = "to a worker, and back")]
    [BenchmarkCategory(Categories.Ours)]
    public void Worker()
    {
        _parts.Workers!.OffLoop.Enqueue(_signal);
        _signal.Wait();
    }

    // A semaphore, the lightest that blocks and is not ours.
    private sealed class Signal : ILoopWork
    {
        private readonly SemaphoreSlim _done = new(0);

        public void Execute() => _done.Release();

        public void Wait() => _done.Wait();
    }
}
