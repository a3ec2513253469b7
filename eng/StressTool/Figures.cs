using System.Collections.Concurrent;

namespace StressTool;

/// <summary>What was done and what went wrong. Any thread may count.</summary>
internal sealed class Figures
{
    private const int MostFailuresKept = 20;

    private readonly ConcurrentQueue<string> _failures = new();
    private long _bytes;
    private int _failureCount;

    private readonly ConcurrentDictionary<string, int> _counts = new();

    public bool Failed => Volatile.Read(ref _failureCount) > 0;

    public void AddBytes(long count) => Interlocked.Add(ref _bytes, count);

    public void Count(string what) => _counts.AddOrUpdate(what, 1, static (_, old) => old + 1);

    public int Get(string what) => _counts.GetValueOrDefault(what);

    public void Fail(string what)
    {
        if (Interlocked.Increment(ref _failureCount) <= MostFailuresKept)
        {
            _failures.Enqueue(what);
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
