using System.Diagnostics;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// When a loop gives way, between two passes, to threads that wait for its processor: clients on the same machine, handlers
/// that went on elsewhere. They would wait for the scheduler's next tick, 1 to 4 ms. For the loop's thread.
/// </summary>
/// <remarks>
/// A thread that computes uses up all it is given, and so a loop that waited for one does not give way again for <see cref="RestFactor"/> times
/// as long; at most for <see cref="MaxRest"/>, as the whole process may have been stopped meanwhile, for hours.
/// </remarks>
internal struct LoopYield
{
    /// <summary>A pass with fewer events has kept nobody waiting.</summary>
    private const int MinEvents = 2;

    /// <summary>At most one part in so many of a loop's time goes to threads that compute.</summary>
    internal const int RestFactor = 20;

    /// <summary>Who answers a burst is back by then.</summary>
    internal static readonly long TooLong = Stopwatch.Frequency / 1000 * 3;

    /// <summary>Many times what a scheduler lets a thread wait.</summary>
    internal static readonly long MaxRest = Stopwatch.Frequency;

    private long _restsUntil;

    /// <summary>Whether to give way after a pass that had so many events. All times are in the ticks of <see cref="Stopwatch"/>.</summary>
    public readonly bool IsDue(int events, long now) => events >= MinEvents && now >= _restsUntil;

    /// <summary>The loop gave way, and has its processor again.</summary>
    public void OnBack(long before, long now)
    {
        if (now - before > TooLong)
        {
            _restsUntil = now + (Math.Min(now - before, MaxRest / RestFactor) * RestFactor);
        }
    }
}
