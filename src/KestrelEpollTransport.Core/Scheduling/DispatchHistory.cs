using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// How the first dispatches of an endpoint's connections went, so that the next connection starts where they belonged: TLS
/// handshakes, a millisecond of computing each, or handlers that block and whose clients reconnect for every request. And what a
/// dispatch of the endpoint typically takes. Thread-safe.
/// </summary>
/// <remarks>
/// What is typical is not dear: where everything takes long, as code does that is not optimized yet, nobody would gain by leaving
/// the loop, and on a machine of one processor all left it, competed, and kept the compiler from its work for half a minute.
/// </remarks>
internal sealed class DispatchHistory
{
    /// <summary>
    /// More than one dear start in 9: where many clients connect at once, starts are dear now and then because the threads
    /// that start connections compete for the processor.
    /// </summary>
    private const short DearWeight = 8;

    /// <summary>One dear start that slept among so many is enough to give each new connection a thread of its own.</summary>
    private const int BlockingMemory = 64;

    /// <summary>So many times what is typical is dear.</summary>
    private const int DearFactor = 3;

    /// <summary>But whatever is typical, so many times the limit is dear.</summary>
    private const int MaxLimitFactor = 4;

    private readonly long _limit;

    // Hints: threads may overwrite each other's notes. A running median: half of the dispatches take longer.
    private CostScore _starts = new(DearWeight);
    private long _typical;
    private int _startsThatComputed = int.MaxValue;

    public DispatchHistory(TimeSpan demotionLimit, SchedulingCounters counters)
    {
        _limit = (long)(demotionLimit.TotalSeconds * Stopwatch.Frequency);
        _typical = _limit / MaxLimitFactor;
        Counters = counters;
    }

    /// <summary>Above this a dispatch is dear, in the ticks of <see cref="Stopwatch"/>.</summary>
    public long LimitTicks => Math.Clamp(Volatile.Read(ref _typical) * DearFactor, _limit, _limit * MaxLimitFactor);

    public SchedulingCounters Counters { get; }

    /// <summary>Whether new connections start on their loops.</summary>
    public bool StartsInline => !_starts.IsDear;

    /// <summary>Whether new connections that don't may block; false: those that were dear computed.</summary>
    public bool StartsBlock => _startsThatComputed < BlockingMemory;

    /// <inheritdoc cref="CostScore.HasStrikes"/>
    public bool HasStrikes => _starts.HasStrikes;

    /// <summary>A dispatch that computed cost so much. Some of them are enough.</summary>
    public void NoteCost(long ticks)
    {
        const int Steps = 64;
        long typical = Volatile.Read(ref _typical);
        long step = (typical / Steps) + 1;
        Volatile.Write(ref _typical, ticks > typical ? typical + step : Math.Max(0, typical - step));
    }

    /// <summary>One of the first dispatches of a connection is over.</summary>
    public void NoteStart(bool isDear, DispatchUse use)
    {
        if (isDear && use != DispatchUse.Unknown)
        {
            NoteDearStart(use == DispatchUse.Slept);
        }

        _starts.Note(isDear);
    }

    /// <summary>One of the first dispatches of a connection was handed off.</summary>
    public void NoteHandOff(bool isBlocked)
    {
        NoteDearStart(isBlocked);
        _starts.NoteHandOff();
    }

    /// <summary>One of the first dispatches of a connection was seen blocked; how dear it was is told at its end.</summary>
    public void NoteSeenBlocked() => NoteDearStart(slept: true);

    private void NoteDearStart(bool slept) =>
        _startsThatComputed = slept ? 0 : Math.Min(_startsThatComputed, BlockingMemory) + 1;
}
