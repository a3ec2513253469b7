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
    /// How many times the limit a dispatch has that computes. The kernel says the same of a thread that waits for a
    /// processor, and another thread would not get one earlier: cheap handlers on a busy machine were handed off 20 times a
    /// second without this.
    /// </summary>
    private const int ComputingFactor = 5;

    /// <summary>
    /// What a look counts that proves nothing by itself. Not zero: where all of them are late, or the garbage collector always
    /// runs, a stuck loop would never be handed over.
    /// </summary>
    private static readonly TimeSpan s_lateLook = WatchThread.Interval / 4;

    /// <summary>How often a thread that computes is asked for, at least.</summary>
    private static readonly TimeSpan s_askAtLeast = TimeSpan.FromMilliseconds(50);

    private Sighting[][] _sightings = [];
    private long[] _passes = [];

    bool IWatched.IsQuiet => Array.TrueForAll(group.Started, static loop => !loop.IsAwake || loop.HasEnded);

    void IWatched.Look(TimeSpan elapsed)
    {
        EventLoop[] loops = group.Started;
        if (_sightings.Length != loops.Length)
        {
            _sightings = Array.ConvertAll(loops, static loop => new Sighting[loop.Seats.Length]);
            _passes = new long[loops.Length];
        }

        for (int i = 0; i < loops.Length; i++)
        {
            LookAt(loops[i], _sightings[i], ref _passes[i], elapsed);
        }
    }

    private void LookAt(EventLoop loop, Sighting[] sightings, ref long pass, TimeSpan elapsed)
    {
        bool isStalled = !loop.Crew.IsPolled;
        bool isLate = isStalled && loop.Pass == pass;
        pass = loop.Pass;
        foreach (Seat seat in loop.Seats)
        {
            ref Sighting sighting = ref sightings[seat.Index];
            long dispatch = seat.CurrentDispatch;
            sighting = dispatch == 0 || dispatch != sighting.Dispatch
                ? new Sighting(dispatch, TimeSpan.Zero, limit)
                : sighting with { Blocked = sighting.Blocked + (elapsed > TimeSpan.Zero ? elapsed : s_lateLook) };
            isStalled &= !loop.Crew.Has(seat.Index) || sighting.Blocked > TimeSpan.Zero;
        }

        bool handedOff = false;
        foreach (Seat seat in loop.Seats)
        {
            handedOff |= TryHandOff(seat, ref sightings[seat.Index], isLast: isStalled && !handedOff);
        }

        if (isLate && !handedOff)
        {
            // All who are here have been busy since the look before, and may be for long: with one dispatch or with many.
            loop.TryCall();
        }
    }

    private bool TryHandOff(Seat seat, ref Sighting sighting, bool isLast)
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
            sighting = sighting with { AskAt = sighting.Blocked + (sighting.Blocked < s_askAtLeast ? sighting.Blocked : s_askAtLeast) };
            return false;
        }

        if (workers.TryHandOff(seat, sighting.Dispatch, isLast) is not { } dispatched)
        {
            // If it still runs, the next look tries again.
            return false;
        }

        counters.HandedOff();
        dispatched.OnHandedOff(isBlocked);

        // The line is for a worker, who may block.
        TimeSpan blocked = sighting.Blocked;
        workers.OffLoop.Enqueue(new LogElsewhere(() => dispatched.LogHandOff(logger, seat.Loop.Index, blocked)), WorkLane.Quick);
        return true;
    }

    // A thread that waits for the collector, which may have begun in the middle of this, is not blocked.
    private static bool IsBlocked(Seat seat)
    {
        TimeSpan pauses = GC.GetTotalPauseDuration();
        return seat.IsRunning != true && GC.GetTotalPauseDuration() == pauses;
    }

    /// <summary>A dispatch, how long it has been seen for, and how long it will have been when its thread is asked for next.</summary>
    private readonly record struct Sighting(long Dispatch, TimeSpan Blocked, TimeSpan AskAt);
}
