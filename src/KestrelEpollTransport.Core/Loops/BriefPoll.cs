using System.Diagnostics;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// How long a loop that has nothing to do polls before it sleeps. To wake a thread that sleeps costs it and whoever comes some ten
/// microseconds each, to poll costs a processor; so a loop polls only where nearly all that it waited for lately came soon. For who holds the
/// right to poll.
/// </summary>
/// <param name="fixedTicks">Always so long, in the ticks of <see cref="Stopwatch"/>; null: as long as it pays.</param>
internal struct BriefPoll(long? fixedTicks)
{
    /// <summary>A local client answers within this; in the ticks of <see cref="Stopwatch"/>.</summary>
    internal static readonly long Brief = Stopwatch.Frequency / 1_000_000 * 50;

    /// <summary>What a wait that was slept through may take, the wake included, to count as one that polling would have ended.</summary>
    private const int SleepFactor = 3;

    /// <summary>One poll for nothing outweighs so many that paid.</summary>
    private const int Miss = 8;

    private const int Max = 2 * Miss;
    private const int Min = -8 * Miss;

    private int _score;

    /// <summary>How long to poll now; 0: not at all.</summary>
    public readonly long Ticks => fixedTicks ?? (_score >= 0 ? Brief : 0);

    /// <summary>Polling found something, or nothing.</summary>
    public void NotePoll(bool found) => _score = found ? Math.Min(_score + 1, Max) : Math.Max(_score - Miss, Min);

    /// <summary>The loop slept for so long without having polled before.</summary>
    public void NoteSleep(long ticks) => NotePoll(ticks <= SleepFactor * Brief);
}
