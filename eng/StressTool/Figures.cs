using System.Collections.Concurrent;
using System.Diagnostics;

namespace StressTool;

/// <summary>What was done and what went wrong. Any thread may count.</summary>
internal sealed class Figures
{
    private const int MostFailuresKept = 20;

    private static readonly TimeSpan s_soon = TimeSpan.FromSeconds(10);

    private readonly ConcurrentQueue<string> _failures = new();
    private readonly ConcurrentQueue<(string What, string Figure)> _told = new();
    private long _bytes;
    private int _failureCount;

    private readonly ConcurrentDictionary<string, int> _counts = new();

    public bool Failed => Volatile.Read(ref _failureCount) > 0;

    public void AddBytes(long count) => Interlocked.Add(ref _bytes, count);

    public void Count(string what) => _counts.AddOrUpdate(what, 1, static (_, old) => old + 1);

    /// <summary>A figure that is no count.</summary>
    public void Tell(string what, string figure) => _told.Enqueue((what, figure));

    public int Get(string what) => _counts.GetValueOrDefault(what);

    public void Fail(string what)
    {
        if (Interlocked.Increment(ref _failureCount) <= MostFailuresKept)
        {
            _failures.Enqueue(what);
        }
    }

    /// <summary>Waits a little for what may take its time, such as a connection that lingers for the other side's end.</summary>
    public async Task RequireSoonAsync(Func<bool> holds, Func<string> otherwise)
    {
        long start = Stopwatch.GetTimestamp();
        while (!holds())
        {
            if (Stopwatch.GetElapsedTime(start) > s_soon)
            {
                Fail(otherwise());
                return;
            }

            await Task.Delay(20);
        }
    }

    public void Print(double seconds)
    {
        Console.WriteLine($"  {"seconds",-36}{seconds,16:n1}");
        Console.WriteLine($"  {"bytes received and checked",-36}{Volatile.Read(ref _bytes),16:n0}");
        foreach ((string what, int count) in _counts.OrderBy(static pair => pair.Key, StringComparer.Ordinal))
        {
            Console.WriteLine($"  {what,-36}{count,16:n0}");
        }

        foreach ((string what, string figure) in _told)
        {
            Console.WriteLine($"  {what,-56} {figure}");
        }

        foreach (string failure in _failures)
        {
            Console.WriteLine($"FAILED: {failure}");
        }

        if (_failureCount > MostFailuresKept)
        {
            Console.WriteLine($"and {_failureCount - MostFailuresKept} more failures");
        }
    }
}
