using System.Diagnostics;

namespace TransportBench.Client;

/// <summary>
/// When requests are due that come at a mean rate and know nothing of each other, as those of many users do: the gaps between them
/// are distributed exponentially. The same seed gives the same gaps on every machine. For one thread at a time.
/// </summary>
/// <param name="perSecond">The mean rate, above 0.</param>
/// <param name="start">The moment that the first gap follows, a timestamp of <see cref="Stopwatch"/>.</param>
/// <param name="seed">Which gaps.</param>
internal sealed class PoissonArrivals(double perSecond, long start, int seed)
{
    // With a seed, Random keeps to one algorithm for good.
    private readonly Random _random = new(seed);
    private double _ticks;
    private bool _hasNext;

    /// <summary>When the next request is due, a timestamp of <see cref="Stopwatch"/>.</summary>
    public long Next
    {
        get
        {
            if (!_hasNext)
            {
                // 1 - NextDouble() is never 0, which has no logarithm.
                _ticks -= Math.Log(1 - _random.NextDouble()) / perSecond * Stopwatch.Frequency;
                _hasNext = true;
            }

            return start + (long)_ticks;
        }
    }

    /// <summary>Returns <see cref="Next"/>, and goes on to the one after it.</summary>
    public long Take()
    {
        long next = Next;
        _hasNext = false;
        return next;
    }
}
