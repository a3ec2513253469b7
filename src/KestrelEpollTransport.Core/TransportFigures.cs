using System.Diagnostics;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport;

/// <summary>The figures of one transport. Thread-safe.</summary>
/// <remarks>
/// Nothing stops for a look. What a counter tells may therefore be of a moment ago, and two looks at the same moment may see it in either order;
/// so each look tells at least what the look before told.
/// </remarks>
internal sealed class TransportFigures(TransportEngine engine, ConnectionTotals ended, Workers? workers) : ITransportFigures
{
    private readonly Lock _lock = new();

    // Under the lock: what was told last.
    private readonly long[] _busy = new long[engine.Options.LoopCount];
    private ByteFigures _bytes;

    private EventLoop[] Loops => engine.Loops.Started;

    public LoopFigures[] GetLoops()
    {
        using (_lock.Hold())
        {
            return Array.ConvertAll(Array.FindAll(Loops, static loop => !loop.HasEnded), ToFigures);
        }
    }

    public ByteFigures GetBytes()
    {
        // In this order: a connection that ends meanwhile leaves its loop before it is among those that have ended, so it is missed rather than
        // counted twice, and the next look has it.
        ByteFigures bytes = ended.Bytes;
        foreach (EpollConnection connection in GetConnections())
        {
            bytes = new ByteFigures(bytes.Received + connection.Reader.Received, bytes.Sent + connection.Writer.Sent);
        }

        using (_lock.Hold())
        {
            return _bytes = new ByteFigures(Math.Max(_bytes.Received, bytes.Received), Math.Max(_bytes.Sent, bytes.Sent));
        }
    }

    public PausedFigures GetPaused()
    {
        int receiving = 0, sending = 0;
        foreach (EpollConnection connection in GetConnections())
        {
            receiving += connection.Reader is { IsPaused: true, IsCompleted: false } ? 1 : 0;
            sending += connection.Writer.IsWaiting ? 1 : 0;
        }

        return new PausedFigures(receiving, sending);
    }

    public QueueFigures GetQueues() => new(
        engine.Listeners.Snapshot().Sum(static listener => listener.Queued), Loops.Sum(static loop => loop.Posted), workers?.OffLoop.Waiting ?? 0);

    public WorkerFigures GetWorkers() => workers is null ? default : new WorkerFigures(workers.Count, workers.Busy, workers.Bound);

    private IEnumerable<EpollConnection> GetConnections() => Loops.SelectMany(static loop => loop.Handlers).OfType<EpollConnection>();

    // Under the lock.
    private LoopFigures ToFigures(EventLoop loop)
    {
        ref long busy = ref _busy[loop.Index];
        busy = Math.Max(busy, loop.Totals.GetBusy(Stopwatch.GetTimestamp()));
        return new LoopFigures(loop.Index, loop.Load, loop.Totals.Waits, loop.Totals.Events, busy / (double)Stopwatch.Frequency);
    }
}
