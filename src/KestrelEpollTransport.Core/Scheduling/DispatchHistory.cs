using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// How the first dispatches of an endpoint's connections went, so that the next connection starts where they belonged: TLS
/// handshakes, a millisecond of computing each, or handlers that block and whose clients reconnect for every request.
/// Thread-safe.
/// </summary>
internal sealed class DispatchHistory
{
    /// <summary>
    /// More than one dear start in 9: where many clients connect at once, starts are dear now and then because the threads
    /// that start connections compete for the processor.
    /// </summary>
    private const short DearWeight = 8;

    // A hint: see there.
    private CostScore _starts = new(DearWeight);

    public DispatchHistory(TimeSpan demotionLimit, SchedulingCounters counters)
    {
        LimitTicks = (long)(demotionLimit.TotalSeconds * Stopwatch.Frequency);
        Counters = counters;
    }

    /// <summary>Above this a dispatch is dear, in the ticks of <see cref="Stopwatch"/>.</summary>
    public long LimitTicks { get; }

    public SchedulingCounters Counters { get; }

    /// <summary>Whether new connections start on their loops.</summary>
    public bool StartsInline => !_starts.IsDear;

    /// <summary>One of the first dispatches of a connection is over.</summary>
    public void NoteStart(bool isDear) => _starts.Note(isDear);

    /// <summary>One of the first dispatches of a connection was handed off.</summary>
    public void NoteHandOff() => _starts.NoteHandOff();
}
