using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// Sees that a thread has been in one and the same dispatch for too long, and has its seat handed to another worker; and that all threads
/// of a loop are in dispatches, and calls another. For the watch's thread, but for <see cref="IWatched.IsQuiet"/>.
/// </summary>
internal sealed class LoopWatch(LoopGroup group, Workers workers, SchedulingCounters counters, ILogger logger, TimeSpan limit) : IWatched
{
    /// <summary>
    /// How many times the limit a dispatch has that computes, or waits for a processor: without this, cheap handlers on a busy machine were
    /// handed off 20 times a second.
    /// </summary>
    private const int ComputingFactor = 5;

    /// <summary>
    /// What a look counts that proves nothing by itself. Not zero: where all of them are late, or the garbage collector always
    /// runs, a stuck loop would never be handed off.
    /// </summary>
    private static readonly TimeSpan s_lateLook = WatchThread.Interval / 4;

    /// <summary>How often a thread that computes is asked for, at least.</summary>
    private static readonly TimeSpan s_askAtLeast = TimeSpan.FromMilliseconds(50);

    private readonly Dictionary<Seat, Sighting> _sightings = [];

    bool IWatched.IsQuiet => Array.TrueForAll(group.Started, static loop => !loop.IsAwake || loop.HasEnded);

    void IWatched.Look(TimeSpan elapsed)
    {
        foreach (EventLoop loop in group.Started)
        {
            LookAt(loop, elapsed);
        }
    }

    private void LookAt(EventLoop loop, TimeSpan elapsed)
    {
        bool isStalled = !loop.Crew.IsPolled;
        bool isLate = isStalled;
        long pass = loop.Pass;
        foreach (Seat seat in loop.Seats)
        {
            Sighting before = _sightings.GetValueOrDefault(seat);
            long dispatch = seat.CurrentDispatch;
            TimeSpan blocked = dispatch == 0 || dispatch != before.Dispatch ? TimeSpan.Zero
                : before.Blocked + (elapsed > TimeSpan.Zero ? elapsed : s_lateLook);
            _sightings[seat] = new Sighting(pass, dispatch, blocked, AskAt: blocked == TimeSpan.Zero ? limit : before.AskAt);
            isStalled &= !loop.Crew.Has(seat.Index) || blocked > TimeSpan.Zero;
            isLate &= pass == before.Pass;
        }

        bool handedOff = false;
        foreach (Seat seat in loop.Seats)
        {
            handedOff |= TryHandOff(seat, _sightings[seat], isLast: isStalled && !handedOff);
        }

        if (isLate && !handedOff)
        {
            // All who are here have been busy since the look before, and may be for long: with one dispatch or with many.
            loop.TryCall();
        }
    }

    private bool TryHandOff(Seat seat, Sighting sighting, bool isLast)
    {
        bool isEnough = isLast && sighting.Blocked >= limit * ComputingFactor;
        if (sighting.Blocked < sighting.AskAt && !isEnough)
        {
            return false;
        }

        bool isBlocked = IsBlocked(seat);
        if (!isBlocked && !isEnough)
        {
            // Asked for less and less often: it costs some 20 µs.
            _sightings[seat] = sighting with { AskAt = sighting.Blocked + (sighting.Blocked < s_askAtLeast ? sighting.Blocked : s_askAtLeast) };
            return false;
        }

        if (workers.TryHandOff(seat, sighting.Dispatch, isLast) is not { } dispatched)
        {
            // If it still runs, the next look tries again.
            return false;
        }

        counters.HandedOff();
        dispatched.OnHandedOff(isBlocked);
        workers.OffLoop.Enqueue(Line(dispatched, seat.Loop.Index, sighting.Blocked), WorkLane.Quick);
        return true;
    }

    // A thread that waits for the collector, which may have begun in the middle of this, is not blocked.
    private static bool IsBlocked(Seat seat)
    {
        TimeSpan pauses = GC.GetTotalPauseDuration();
        return seat.IsRunning != true && GC.GetTotalPauseDuration() == pauses;
    }

    // By a worker, who may block.
    private LogElsewhere Line(IDispatched dispatched, int loop, TimeSpan blocked) => new(() => dispatched.LogHandOff(logger, loop, blocked));

    /// <summary>
    /// What a look saw of a seat: the loop's pass, a dispatch, how long it has been seen for, and how long it will have been when its thread is
    /// asked for next.
    /// </summary>
    private readonly record struct Sighting(long Pass, long Dispatch, TimeSpan Blocked, TimeSpan AskAt);
}
