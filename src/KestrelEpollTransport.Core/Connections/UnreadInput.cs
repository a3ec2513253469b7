using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// Input that the application has not read, on its way to be received ahead by the loop. Queued once at a time, or once more if it
/// becomes urgent. Thread-safe.
/// </summary>
/// <remarks>
/// T1 finds something left and queues it, unless it is queued. T2 (loop) clears that it is queued (a fence) and then looks: so what T1 did not
/// queue because of T2, T2 sees.
/// </remarks>
internal sealed class UnreadInput(EpollConnection connection) : ILoopWork
{
    /// <summary>How long the application may leave input in the kernel, in milliseconds, before it is received ahead.</summary>
    public const int LimitMs = 5;

    private const int Scheduled = 1;
    private const int Posted = 2;

    private int _queued;

    public void Queue(bool isUrgent)
    {
        int queued = Volatile.Read(ref _queued);
        if ((queued & Posted) != 0 || (queued != 0 && !isUrgent))
        {
            return;
        }

        int now = isUrgent ? Posted : Scheduled;
        if ((Interlocked.Or(ref _queued, now) & now) != 0)
        {
            return;
        }

        if (isUrgent)
        {
            connection.Loop.Post(this);
        }
        else
        {
            connection.Loop.Schedule(this, LimitMs);
        }
    }

    /// <summary>The loop; after its end the thread pool.</summary>
    public void Execute()
    {
        Interlocked.Exchange(ref _queued, 0);
        connection.Reader.ReceiveAhead(wasLeft: true);
    }
}
