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

    // The thread of the present dispatch.
    private long _began;

    private DispatchProfile _profile = new(history);

    /// <summary>Where this connection's dispatches run. A hint, and so for any thread.</summary>
    [System.Diagnostics.CodeAnalysis.UnscopedRef]
    public ref DispatchProfile Profile => ref _profile;

    /// <summary>Whether the calling thread runs the dispatch.</summary>
    public readonly bool IsMine => Volatile.Read(in _thread) == Environment.CurrentManagedThreadId;

    /// <summary>Runs what a completed read, or a late continuation, continues with, as a dispatch that began at <paramref name="began"/>.</summary>
    public void Run(EpollConnection connection, Continuation continuation, long began)
    {
        int me = Environment.CurrentManagedThreadId;
        _began = began;
        Volatile.Write(ref _thread, me);
        continuation.Run();

        int served = connection.Reader.Served;
        if (Interlocked.CompareExchange(ref _thread, 0, me) == me)
        {
            connection.Writer.SendMarked();
            _profile.End(began, served);
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
            _profile.End(_began, connection.Reader.Served);
        }
    }
}
