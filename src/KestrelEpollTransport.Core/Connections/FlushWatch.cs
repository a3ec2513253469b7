using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Scheduling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Connections;

/// <summary>Something with marked, unsent bytes.</summary>
internal interface IWatchedFlush
{
    /// <summary>The watch took this out of its queue. True: something is still marked, and due. On the watch's thread.</summary>
    bool IsDue();

    /// <summary>Sends what is due, which may enter the application's memory pool and logger.</summary>
    void SendDue();
}

/// <summary>
/// Bounds how long flushed bytes may wait to be gathered: the watch looks at the connections with marked bytes and has them
/// sent, whatever their handlers do meanwhile. Thread-safe.
/// </summary>
/// <remarks>
/// By a worker, if there is one to be had: the watch must not block, and sending may. Otherwise by the watch itself, because
/// the bytes must not wait longer; also if the workers ran out just then, and what they were given waits behind what blocks them.
/// </remarks>
internal sealed class FlushWatch(WatchThread thread, Workers? workers, ILogger logger) : IWatched
{
    private readonly UninterruptedQueue<IWatchedFlush> _queue = new();

    // Of the watch: what workers were given.
    private readonly List<DueFlush> _given = [];

    bool IWatched.IsQuiet => _queue.IsEmpty && _given.Count == 0;

    /// <summary>Has the watch look at <paramref name="flush"/> once, within about 3 ms.</summary>
    public void Add(IWatchedFlush flush)
    {
        _queue.Enqueue(flush);
        Interlocked.MemoryBarrier();
        thread.Unpark();
    }

    void IWatched.Look(TimeSpan elapsed)
    {
        LookAtGiven();
        for (int i = _queue.Count; i > 0 && _queue.TryDequeue(out IWatchedFlush? flush); i--)
        {
            if (!flush.IsDue())
            {
                continue;
            }

            DueFlush due = new(flush, logger);
            if (workers is { IsExhausted: false })
            {
                // Before other work, which may block all workers there are.
                workers.OffLoop.Enqueue(due, WorkLane.Quick);
                _given.Add(due);
            }
            else
            {
                due.Execute();
            }
        }
    }

    private void LookAtGiven()
    {
        _given.RemoveAll(static due => due.HasBegun);
        if (workers is { IsExhausted: true } or { Busy: 0 })
        {
            // All are busy with something else, or none was to be had.
            _given.ForEach(static due => due.Execute());
            _given.Clear();
        }
    }

    /// <summary>Runs once, whoever comes first.</summary>
    private sealed class DueFlush(IWatchedFlush flush, ILogger logger) : IThreadPoolWorkItem
    {
        private int _begun;

        public bool HasBegun => Volatile.Read(ref _begun) != 0;

        public void Execute()
        {
            if (Interlocked.Exchange(ref _begun, 1) != 0)
            {
                return;
            }

            try
            {
                flush.SendDue();
            }
#pragma warning disable CA1031 // What the application gave us, such as a memory pool, may throw; the other connections' bytes wait here.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                LoopLog.WatchFaulted(logger, exception);
            }
        }
    }
}
