using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// How the first dispatches of an endpoint's connections went, so that the next connection begins with what they taught: handlers
/// that block and whose clients reconnect for every request, or TLS handshakes, a millisecond of computing each. Thread-safe.
/// </summary>
internal sealed class DispatchHistory(TimeSpan limit, SchedulingCounters counters)
{
    /// <summary>More than one start in 9 that blocks, or computes for long: where many clients connect at once, starts meet locks now and then.</summary>
    private const short StartWeight = 8;

    /// <summary>So many times the limit is long: whoever becomes ready meanwhile is not to wait for it.</summary>
    private const int LongFactor = 4;

    // Hints: threads may overwrite each other's notes.
    private Habit _starts = new(StartWeight);
    private Habit _longStarts = new(StartWeight);

    /// <summary>A dispatch that takes no longer is not looked into, in the ticks of <see cref="Stopwatch"/>.</summary>
    public long LimitTicks { get; } = (long)(limit.TotalSeconds * Stopwatch.Frequency);

    /// <summary>A dispatch that is expected to compute for longer runs on a worker.</summary>
    public long LongTicks => LimitTicks * LongFactor;

    public SchedulingCounters Counters => counters;

    /// <summary>Whether new connections are known to block.</summary>
    public bool StartsBlock => _starts.IsKnown;

    /// <summary>Whether new connections are known to compute for long.</summary>
    public bool StartsAreLong => _longStarts.IsKnown;

    /// <inheritdoc cref="Habit.IsSuspected"/>
    public bool StartsAreSuspected => _starts.IsSuspected || _longStarts.IsSuspected;

    /// <summary>One of the first dispatches of a connection is over.</summary>
    public void NoteStart(DispatchTime time)
    {
        if (time.Slept is not { } slept)
        {
            _starts.Suspect();
        }
        else
        {
            _starts.Note(slept);
            _longStarts.Note(time.ComputedTicks > LongTicks);
        }
    }

    /// <summary>One of the first dispatches of a connection blocked, and was handed off.</summary>
    public void NoteHandOff() => _starts.NoteHandOff();
}
