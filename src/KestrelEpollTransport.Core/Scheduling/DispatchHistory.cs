using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// How the first dispatches of an endpoint's connections went, so that the next connection starts where they belonged: TLS
/// handshakes, a millisecond of computing each, or handlers that block and whose clients reconnect for every request.
/// Thread-safe: a hint, whose updates may overwrite each other.
/// </summary>
internal sealed class DispatchHistory
{
    // Above 1 dear start in 33 the score climbs to the threshold and stays; one by itself is forgotten. The top: what went
    // wrong for long is over after some 200 cheap starts, as when the code has been compiled.
    private const int DearStartScore = 32;
    private const int OffLoopFrom = 2 * DearStartScore;
    private const int MaxScore = 8 * DearStartScore;

    private int _score;

    public DispatchHistory(TimeSpan demotionLimit, SchedulingCounters counters)
    {
        LimitTicks = (long)(demotionLimit.TotalSeconds * Stopwatch.Frequency);
        Counters = counters;
    }

    /// <summary>Above this a dispatch is dear, in the ticks of <see cref="Stopwatch"/>.</summary>
    public long LimitTicks { get; }

    public SchedulingCounters Counters { get; }

    /// <summary>Whether new connections start on their loops.</summary>
    public bool StartsInline => Volatile.Read(ref _score) < OffLoopFrom;

    /// <summary>One of the first dispatches of a connection is over.</summary>
    public void NoteStart(bool isDear)
    {
        int score = Volatile.Read(ref _score);
        int next = isDear ? Math.Min(score + DearStartScore, MaxScore) : Math.Max(score - 1, 0);
        if (next != score)
        {
            Volatile.Write(ref _score, next);
        }
    }
}
