using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// Input that the application does not read, on its way to the loop: it is received ahead; or, after our own end, thrown away for a
/// while. Thread-safe.
/// </summary>
/// <remarks>
/// <para><b>Lingering.</b> To close at once would answer input with RST, the unread as well as what is under way, and RST makes the peer
/// drop the response that was just sent (RFC 9112, section 9.6): a 413 would reach nobody. So what still arrives is received and
/// thrown away until the peer is done, or for a bounded time and number of bytes. <see cref="LingerList"/> keeps the time.</para>
/// <para>T1 finds something left and schedules this, unless it is scheduled. T2 (loop) clears that it is (a fence) and then looks: what T1
/// did not schedule because of T2, T2 sees.</para>
/// <para>T1 ends the connection, publishes that it lingers, and posts this. T2 (loop) is told of input, and looks whether it lingers. What
/// T2 is told before it can see that, T1's post finds.</para>
/// </remarks>
internal sealed class UnreadInput(EpollConnection connection) : ILoopWork
{
    /// <summary>How long the application may leave input in the kernel, in milliseconds, before it is received ahead.</summary>
    public const int LimitMs = 5;

    private const int LingerLimitMs = 5_000;
    private const int ScratchSize = 64 * 1024;

    /// <summary>How many receives before everyone else on the loop has a turn.</summary>
    private const int ReceivesPerTurn = 16;

    [ThreadStatic]
    private static byte[]? s_threadScratch;

    private int _scheduled;
    private long _bytesToDiscard;

    /// <summary>When lingering is over, in the time of <see cref="Environment.TickCount64"/>.</summary>
    public long DeadlineMs { get; private set; }

    // The list's, under its lock.
    public LinkedListNode<UnreadInput>? Node { get; set; }

    public bool IsLingering => Volatile.Read(ref _bytesToDiscard) != 0;

    /// <summary>Has it received ahead: on the next pass of the loop, or when it has been left for too long.</summary>
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

    /// <summary>From now on it is thrown away.</summary>
    public void Linger()
    {
        DeadlineMs = Environment.TickCount64 + LingerLimitMs;
        connection.Shared.Lingerers.Add(this);
        Interlocked.Exchange(ref _bytesToDiscard, connection.Shared.MaxReadBufferSize);
        connection.Loop.Post(this);
    }

    /// <summary>The loop; after its end the thread pool.</summary>
    public void Execute()
    {
        Interlocked.Exchange(ref _scheduled, 0);
        if (!IsLingering)
        {
            connection.Reader.ReceiveAhead(wasLeft: true);
        }
        else if (connection.Loop.HasEnded)
        {
            Close();
        }
        else
        {
            Discard();
        }
    }

    /// <summary>It has lingered enough. Any thread.</summary>
    public void Close() => connection.Apply(LifetimeEvent.GivenUp);

    /// <summary>There is something to throw away, or the peer ended. Threads that drive the loop, two perhaps at the same moment.</summary>
    public unsafe void Discard()
    {
        byte[] scratch = s_threadScratch ??= GC.AllocateUninitializedArray<byte>(ScratchSize);
        for (int i = 0; i < ReceivesPerTurn; i++)
        {
            if (!connection.TryEnterDescriptor(out int descriptor))
            {
                return;
            }

            IoResult received;
            fixed (byte* pointer = scratch)
            {
                received = SystemCalls.Receive(descriptor, pointer, scratch.Length);
            }

            connection.LeaveDescriptor();
            if (received.WouldBlock)
            {
                return;
            }

            if (received.Value <= 0 || Interlocked.Add(ref _bytesToDiscard, -received.Value) <= 0)
            {
                Close();
                return;
            }
        }

        connection.Loop.Post(this);
    }
}
