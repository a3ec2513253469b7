namespace KestrelEpollTransport.Native.Bsd;

/// <summary>
/// kqueue(2) and kevent(2), and nothing else: the seam at which a test puts a model of them, on a system that has neither.
/// Thread-safe, as the calls are.
/// </summary>
internal abstract unsafe class KqueueCalls
{
    protected KqueueCalls(KqueueNumbers numbers) => Numbers = numbers;

    public KqueueNumbers Numbers { get; }

    /// <summary>A new queue, close-on-exec.</summary>
    public abstract IoResult Create();

    /// <summary>
    /// Makes the changes, then returns how many events were put into <paramref name="events"/>, which may be the list of
    /// changes. Not made again after EINTR: the changes have been made then, kevent(2).
    /// </summary>
    /// <param name="queue">What <see cref="Create"/> returned.</param>
    /// <param name="changes">Events, <see cref="KqueueNumbers.EventSize"/> bytes from one to the next.</param>
    /// <param name="changeCount">How many.</param>
    /// <param name="events">Where to put events.</param>
    /// <param name="eventCount">How many there is room for; with 0 the call does not wait.</param>
    /// <param name="timeout">Null: without limit.</param>
    public abstract IoResult Change(int queue, byte* changes, int changeCount, byte* events, int eventCount, Timespec* timeout);

    /// <summary>Closes what <see cref="Create"/> returned.</summary>
    public virtual void Close(int queue) => SystemCalls.Close(queue);
}
