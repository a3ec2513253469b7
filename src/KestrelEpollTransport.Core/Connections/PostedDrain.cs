using System.Diagnostics;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// A drain of a writer behind the work that waits in the thread pool. That work is often what produces the next flushes (the other
/// streams of an HTTP/2 connection), so that most of a burst leaves in one send. Should blocked handlers have
/// starved the pool, the watch sends.
/// </summary>
/// <remarks>
/// Posted once until it runs. It clears the count (a fence) and then looks for a mark; a flush marks (a fence) and
/// then counts: either the drain finds the mark, or the flush posts again.
/// </remarks>
internal sealed class PostedDrain(ConnectionWriter writer) : IThreadPoolWorkItem
{
    /// <summary>A flush that follows another one within this time is gathered.</summary>
    private static readonly long s_window = Stopwatch.Frequency / 20_000;

    private int _flushes;
    private volatile bool _isBurst;

    // The caller of the writer.
    private long _lastFlush;

    /// <summary>Whether a flush follows the one before closely, or is likely to be followed by others.</summary>
    public bool FollowsClosely()
    {
        if (_isBurst)
        {
            return true;
        }

        long now = Stopwatch.GetTimestamp();
        bool follows = now - _lastFlush < s_window;
        _lastFlush = now;
        return follows;
    }

    public void Post()
    {
        if (Interlocked.Increment(ref _flushes) == 1)
        {
            Uninterrupted.QueueToPool(this);
        }
    }

    public void Execute()
    {
        // A burst is likely to be followed by another: its first flush need not go alone.
        _isBurst = Interlocked.Exchange(ref _flushes, 0) > 1;
        writer.SendMarked();
    }
}
