using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The last act of a connection whose peer was still sending when we said FIN: what arrives is received and thrown
/// away, until the peer is done, or for a bounded time and number of bytes; then the descriptor is closed.
/// </summary>
/// <remarks>
/// Closing at once would answer unread input with RST, and RST makes the peer's kernel drop the response that
/// was just sent (RFC 9112, section 9.6): a 413 would reach nobody. Runs on the loop's thread.
/// </remarks>
internal sealed class Lingering : IThreadPoolWorkItem
{
    private const int TimeLimitMs = 5_000;
    private const int ScratchSize = 64 * 1024;

    /// <summary>How many receives before everyone else on the loop has a turn.</summary>
    private const int ReceivesPerTurn = 16;

    [ThreadStatic]
    private static byte[]? t_scratch;

    private readonly EpollConnection _connection;
    private readonly EventLoop _loop;
    private readonly long _deadlineMs = Environment.TickCount64 + TimeLimitMs;
    private long _bytesLeft;
    private bool _started;

    public Lingering(EpollConnection connection, EventLoop loop)
    {
        _connection = connection;
        _loop = loop;
        _bytesLeft = connection.Shared.MaxReadBufferSize;
    }

    /// <summary>Posted to begin and after each turn, and scheduled for the time limit.</summary>
    public void Execute()
    {
        if (!_loop.IsDriver || Environment.TickCount64 >= _deadlineMs)
        {
            // Too late, or the loop has ended and the thread pool runs what it left.
            _connection.CloseDescriptor();
            return;
        }

        if (!_started)
        {
            _started = true;
            _connection.OnLingering(this);
            _loop.OnSchedule(this, TimeLimitMs);
        }

        Discard();
    }

    /// <summary>There is more to discard, or the peer ended.</summary>
    public void OnReady() => Discard();

    private unsafe void Discard()
    {
        byte[] scratch = t_scratch ??= GC.AllocateUninitializedArray<byte>(ScratchSize);
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

            _bytesLeft -= received.Value;
            if (received.Value <= 0 || _bytesLeft <= 0)
            {
                _connection.CloseDescriptor();
                return;
            }
        }

        _loop.Post(this);
    }
}
