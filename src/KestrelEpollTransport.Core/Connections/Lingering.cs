using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The last act of a connection that said FIN before its peer did: what still arrives is received and thrown away
/// until the peer is done, or for a bounded time and number of bytes; then the descriptor is closed.
/// </summary>
/// <remarks>
/// Closing at once would answer input with RST, the unread as well as what is under way, and RST makes the peer
/// drop the response that was just sent (RFC 9112, section 9.6): a 413 would reach nobody.
/// <para>Discards on the loop's thread, and that can be two at once while one of them is losing the loop.
/// <see cref="LingerList"/> keeps the time.</para>
/// </remarks>
internal sealed class Lingering : ILoopWork
{
    private const int TimeLimitMs = 5_000;
    private const int ScratchSize = 64 * 1024;

    /// <summary>How many receives before everyone else on the loop has a turn.</summary>
    private const int ReceivesPerTurn = 16;

    [ThreadStatic]
    private static byte[]? s_threadScratch;

    private readonly EpollConnection _connection;
    private readonly EventLoop _loop;
    private long _bytesLeft;

    public Lingering(EpollConnection connection, EventLoop loop)
    {
        _connection = connection;
        _loop = loop;
        _bytesLeft = connection.Shared.MaxReadBufferSize;
    }

    /// <summary>When it is over, in the time of <see cref="Environment.TickCount64"/>.</summary>
    public long DeadlineMs { get; } = Environment.TickCount64 + TimeLimitMs;

    // The list's, under its lock.
    public LinkedListNode<Lingering>? Node { get; set; }

    /// <summary>Posted for what was told before lingering began, and after each turn.</summary>
    public void Execute()
    {
        if (_loop.HasEnded)
        {
            // The thread pool runs what it left.
            Close();
        }
        else
        {
            Discard();
        }
    }

    /// <summary>There is more to discard, or the peer ended. The loop.</summary>
    public void OnReady() => Discard();

    /// <summary>Enough. Any thread.</summary>
    public void Close() => _connection.Apply(LifetimeEvent.GivenUp);

    private unsafe void Discard()
    {
        byte[] scratch = s_threadScratch ??= GC.AllocateUninitializedArray<byte>(ScratchSize);
        for (int i = 0; i < ReceivesPerTurn; i++)
        {
            if (!_connection.TryEnterDescriptor(out int descriptor))
            {
                return;
            }

            IoResult received;
            fixed (byte* pointer = scratch)
            {
                received = SystemCalls.Receive(descriptor, pointer, scratch.Length);
            }

            _connection.LeaveDescriptor();
            if (received.WouldBlock)
            {
                return;
            }

            if (received.Value <= 0 || Interlocked.Add(ref _bytesLeft, -received.Value) <= 0)
            {
                Close();
                return;
            }
        }

        _loop.Post(this);
    }
}
