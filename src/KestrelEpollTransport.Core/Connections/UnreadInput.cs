using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// Input that the application has not read, on its way to be received ahead by the loop. Thread-safe.
/// </summary>
/// <remarks>
/// T1 finds something left and schedules this, unless it is scheduled. T2 (loop) clears that it is (a fence) and then looks: what T1 did not
/// schedule because of T2, T2 sees.
/// </remarks>
internal sealed class UnreadInput(EpollConnection connection) : ILoopWork
{
    /// <summary>How long the application may leave input in the kernel, in milliseconds, before it is received ahead.</summary>
    public const int LimitMs = 5;

    private int _scheduled;

    public void Queue(bool isUrgent)
    {
        if (isUrgent)
        {
            connection.Loop.Post(this);
        }
        else if (Volatile.Read(ref _scheduled) == 0 && Interlocked.Exchange(ref _scheduled, 1) == 0)
        {
            connection.Loop.Schedule(this, LimitMs);
        }
    }

    /// <summary>The loop; after its end the thread pool.</summary>
    public void Execute()
    {
        Interlocked.Exchange(ref _scheduled, 0);
        connection.Reader.ReceiveAhead(wasLeft: true);
    }
}
