using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// With <see cref="ApplicationScheduling.UnsafeInline"/>: sees that a loop's thread sleeps in a dispatch, and fails the read or flush that this
/// dispatch's connection has pending. Code that waits for its own connection (synchronous reads, <c>.Result</c>) would otherwise
/// wait for ever, and with it everybody on the loop. For the timer's thread.
/// </summary>
internal sealed class OwnWaitTimer : IDisposable
{
    private const int LookEveryMs = 50;

    /// <summary>A look that comes later proves nothing: the process was stopped, or the pool busy.</summary>
    private const int LateMs = 3 * LookEveryMs;

    /// <summary>How long a thread sleeps in one dispatch; and how long it is there where the system does not say what it does.</summary>
    private const int BlockedMs = 100;
    private const int UnknownMs = 1_000;

    private readonly LoopGroup _group;
    private readonly Timer _timer;
    private readonly Lock _lock = new();
    private long _lookedMs;
    private Sighting[] _sightings = [];

    public OwnWaitTimer(LoopGroup group)
    {
        _group = group;
        using (ExecutionContext.SuppressFlow())
        {
            _timer = new Timer(static self => ((OwnWaitTimer)self!).Look(), this, LookEveryMs, LookEveryMs);
        }
    }

    public void Dispose() => _timer.Dispose();

    private void Look()
    {
        // A look that is late may meet the next one.
        using (_lock.Hold())
        {
            EventLoop[] loops = _group.Started;
            long nowMs = Environment.TickCount64;
            if (_sightings.Length != loops.Length || nowMs - _lookedMs > LateMs)
            {
                _sightings = new Sighting[loops.Length];
            }

            _lookedMs = nowMs;
            for (int i = 0; i < loops.Length; i++)
            {
                LookAt(loops[i], ref _sightings[i], nowMs);
            }
        }
    }

    private static void LookAt(EventLoop loop, ref Sighting sighting, long nowMs)
    {
        // With this scheduling a loop has one thread.
        Seat seat = loop.Seats[0];
        long dispatch = seat.CurrentDispatch;
        bool? runs = dispatch == 0 ? true : seat.IsRunning;
        if (runs == true || dispatch != sighting.Dispatch)
        {
            sighting = new Sighting(runs == true ? 0 : dispatch, nowMs);
        }
        else if (nowMs - sighting.SinceMs >= (runs is null ? UnknownMs : BlockedMs))
        {
            loop.FailOwnWait(seat, dispatch);
        }
    }

    /// <summary>A dispatch that was seen asleep, and since when.</summary>
    private readonly record struct Sighting(long Dispatch, long SinceMs);
}
