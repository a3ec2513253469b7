using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The dispatch of a connection: from the completion of a read to the application's next wait, or to the return of the completion,
/// on one thread. At its end what was marked is sent, and what it cost is noted.
/// </summary>
/// <remarks>
/// It ends once: at the wait if that is made on the dispatch's thread, else when the completion returns and no other thread has
/// begun the next one meanwhile, which is a compare-exchange on the thread's id.
/// </remarks>
/// <param name="history">Of the connection's endpoint; null: costs are not measured.</param>
internal struct OwnDispatch(DispatchHistory? history)
{
    private int _thread;

    // Who ended the reader's wait, and from then on the dispatch's thread. 0: not known.
    private long _readySince;

    // The thread of the present dispatch.
    private long _began;
    private bool _teachesNothing;

    // Written by that thread, or who owns the reading side, for any.
    private long _delay;
    private int _queue = IRequestQueue.Unknown;

    private DispatchProfile _profile = new(history);

    /// <summary>Where this connection's dispatches run. A hint, and so for any thread.</summary>
    [System.Diagnostics.CodeAnalysis.UnscopedRef]
    public ref DispatchProfile Profile => ref _profile;

    /// <summary>How long the present dispatch, or else the last one, had to wait to begin, at most; in the ticks of <see cref="Stopwatch"/>.</summary>
    public readonly long Delay => Volatile.Read(in _delay);

    /// <summary>In which queue, of <see cref="IRequestQueue"/>.</summary>
    public readonly int Queue => Volatile.Read(in _queue);

    /// <summary>Whether the calling thread runs the dispatch.</summary>
    public readonly bool IsMine => Volatile.Read(in _thread) == Environment.CurrentManagedThreadId;

    /// <summary>The next dispatch could begin now. Who has ended the reader's wait, before scheduling is asked.</summary>
    /// <param name="since">From when on it may have been able to.</param>
    public void OnReady(long since) => _readySince = since;

    /// <summary>A read was served beside the dispatch: since when it could have been is not known. The owner of the reading side.</summary>
    public void ForgetDelay()
    {
        Volatile.Write(ref _delay, 0);
        Volatile.Write(ref _queue, IRequestQueue.Unknown);
    }

    /// <summary>
    /// The present dispatch does not do what requests of this connection do, and says nothing of what they will. For its thread.
    /// </summary>
    public void TeachNothing() => _teachesNothing = true;

    /// <summary>Whether that was said of it. For its thread.</summary>
    public readonly bool TeachesNothing => _teachesNothing;

    /// <summary>Runs what a completed read, or a late continuation, continues with, as a dispatch that began at <paramref name="began"/>.</summary>
    public void Run(EpollConnection connection, Continuation continuation, long began)
    {
        int me = Environment.CurrentManagedThreadId;
        _began = began;
        _teachesNothing = false;
        NoteDelay(connection, began != 0 ? began : Stopwatch.GetTimestamp());
        Volatile.Write(ref _thread, me);
        connection.Writer.BeginTurn();
        continuation.Run();

        int served = connection.Reader.Served;
        if (Interlocked.CompareExchange(ref _thread, 0, me) == me)
        {
            connection.Writer.SendMarked();
            End(began, served);
        }
    }

    /// <summary>
    /// The reader is about to publish that it waits, on whatever thread: from then on another thread may run the next dispatch.
    /// </summary>
    public void OnReaderWaits(EpollConnection connection)
    {
        bool ends = IsMine;
        if (ends)
        {
            Volatile.Write(ref _thread, 0);
        }

        connection.Writer.SendMarked();
        if (ends)
        {
            End(_began, connection.Reader.Served);
        }
    }

    private void NoteDelay(EpollConnection connection, long began)
    {
        // Not the same moment twice: where a dispatch begins in a way of its own, nobody has said when it could have.
        int queue = IRequestQueue.Here(connection.Loop, _profile);
        long delay = _readySince == 0 ? 0 : Math.Max(began - _readySince, 0);
        _readySince = 0;
        Volatile.Write(ref _delay, delay);
        Volatile.Write(ref _queue, queue);
        if (connection.Shared.Metrics.WantsDelays)
        {
            connection.Shared.Metrics.Waited(delay, ThreadOf(queue));
        }
    }

    // As it is counted.
    private static string ThreadOf(int queue) =>
        queue >= IRequestQueue.FirstLoop ? TransportMetrics.Loop : queue == IRequestQueue.Pool ? TransportMetrics.ThreadPool : TransportMetrics.Worker;

    private void End(long began, int reads)
    {
        if (!_teachesNothing)
        {
            _profile.End(began, reads);
        }
    }
}
