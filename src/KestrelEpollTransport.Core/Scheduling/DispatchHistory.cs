using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// How the first dispatches of an endpoint's connections went, so that the next connection begins with what they taught: handlers
/// that block and whose clients reconnect for every request, or TLS handshakes, a millisecond of computing each. Thread-safe.
/// </summary>
internal sealed class DispatchHistory(TimeSpan limit, SchedulingCounters counters)
{
    /// <summary>More than one start in 9 that blocks: where many clients connect at once, starts meet locks now and then.</summary>
    private const short StartWeight = 8;

    /// <summary>So many times the limit is long: whoever becomes ready meanwhile is not to wait for it.</summary>
    private const int LongFactor = 4;

    /// <summary>The last start counts for so much of what the next one is expected to take.</summary>
    private const int StartShare = 8;

    // Hints: threads may overwrite each other's notes.
    private Habit _starts = new(StartWeight);
    private long _startTicks;

    /// <summary>A dispatch that takes no longer is not looked into, in the ticks of <see cref="Stopwatch"/>.</summary>
    public long LimitTicks { get; } = (long)(limit.TotalSeconds * Stopwatch.Frequency);

    /// <summary>A dispatch that is expected to compute for longer runs on a worker.</summary>
    public long LongTicks => LimitTicks * LongFactor;

    public SchedulingCounters Counters => counters;

    /// <summary>Whether new connections are known to block.</summary>
    public bool StartsBlock => _starts.IsKnown;

    /// <inheritdoc cref="Habit.IsSuspected"/>
    public bool StartsAreSuspected => _starts.IsSuspected;

    /// <summary>What one of the first dispatches is expected to take.</summary>
    public long StartTicks => Volatile.Read(ref _startTicks);

    /// <summary>One of the first dispatches of a connection is over.</summary>
    public void NoteStart(long ticks, DispatchUse use)
    {
        if (use != DispatchUse.Slept)
        {
            // A clamp: one that waited for a compiler is soon forgotten.
            long expected = StartTicks;
            Volatile.Write(ref _startTicks, expected + ((Math.Min(ticks, StartShare * LongTicks) - expected) / StartShare));
        }

        if (use == DispatchUse.Unknown)
        {
            _starts.Suspect();
        }
        else
        {
            _starts.Note(use == DispatchUse.Slept);
        }
    }

    /// <summary>One of the first dispatches of a connection blocked, and was handed off.</summary>
    public void NoteHandOff() => _starts.NoteHandOff();
}
