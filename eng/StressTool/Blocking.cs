using System.Diagnostics;

namespace StressTool;

/// <summary>Code that keeps its thread: asleep, or computing.</summary>
internal static class Blocking
{
    private const int MostMs = 10;

    /// <summary>Now and then.</summary>
    public static void Maybe(Random random, Figures figures)
    {
        if (random.Next(24) == 0)
        {
            figures.Count("blocked in a handler");
            For(random.Next(1, MostMs + 1), computing: random.Next(2) == 0);
        }
    }

    /// <summary>Every so many calls: for what is called from everywhere.</summary>
    public static void EveryNth(ref int calls, int n, Figures figures, string what)
    {
        int call = Interlocked.Increment(ref calls);
        if (call % n == 0)
        {
            figures.Count(what);
            For(1 + (call / n % MostMs), computing: false);
        }
    }

    private static void For(int ms, bool computing)
    {
        if (!computing)
        {
            Thread.Sleep(ms);
            return;
        }

        for (long start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start).TotalMilliseconds < ms;)
        {
            Thread.SpinWait(100);
        }
    }
}
