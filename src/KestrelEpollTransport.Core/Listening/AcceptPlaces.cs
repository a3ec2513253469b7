using KestrelEpollTransport.Diagnostics;

namespace KestrelEpollTransport.Listening;

/// <summary>Places for connections that a listener has accepted and nobody has taken. Thread-safe.</summary>
/// <remarks>
/// <para>A place in the queue is reserved before accept(2). With none left the socket is disarmed, and the kernel's backlog
/// holds the clients. A place that a loop has reserved for a connection that another loop gets counts for that moment, so the
/// socket may be disarmed with a place a loop less.</para>
/// <para>The window, where T1 takes a connection out of the queue, and T2 is a loop that found no place: 1. T1 lowers the number, and sees no pause.
/// 2. T2 pauses (a lock, and so a fence). 3. T2 gives back the place that it had counted, finds the number low, and resumes. If T1
/// lowers the number after 3 instead, it looks after that, sees the pause, and resumes.</para>
/// </remarks>
/// <param name="arming">What is paused where there is none left.</param>
/// <param name="metrics">The transport's.</param>
internal sealed class AcceptPlaces(AcceptArming arming, TransportMetrics metrics)
{
    /// <summary>How many there are.</summary>
    public const int Limit = 256;

    private int _taken;

    /// <summary>Takes a place. False: one too many, which is to be given back, and the listener pauses.</summary>
    public bool TryTake()
    {
        if (Interlocked.Increment(ref _taken) <= Limit)
        {
            return true;
        }

        if (arming.Pause(AcceptPause.QueueFull))
        {
            metrics.AcceptPaused(isBackOff: false);
        }

        return false;
    }

    /// <summary>Takes a place, whether or not there is one.</summary>
    public void Take() => Interlocked.Increment(ref _taken);

    /// <summary>Gives one back. True: the pause has to end.</summary>
    public bool GiveBack() => Interlocked.Decrement(ref _taken) <= Limit / 2 && arming.IsPausedFor(AcceptPause.QueueFull);
}
