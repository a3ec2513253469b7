using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Scheduling;

/// <summary>One of the <see cref="ComputingSlots"/>. Thread-safe.</summary>
/// <remarks>
/// One word: a sequence number, and whether the slot is taken.
/// <code>
/// from       to          who                    what it may touch then
/// Free(n)    Taken(n+1)  a thread (TryTake)     what the slot says of its thread and work
/// Taken(n)   Free(n)     that thread (TryFree)  nothing
/// Taken(n)   Free(n)     the watch (Look)       nothing of the slot; the work's profile, which is a hint
/// </code>
/// <para><b>The thread gives back while the watch frees.</b> Both are a compare-exchange from exactly Taken(n): one fails, and a
/// thread that lost its slot does not free the next one's, whose number is another.</para>
/// <para><b>Whose thread and work.</b> They are written after the slot was taken, and then the number that they belong to (a release).
/// The watch reads that number (an acquire), thread and work, and then frees by a compare-exchange from the same number: if that
/// succeeds nobody has taken the slot in between, and so nobody has written them.</para>
/// </remarks>
internal sealed class ComputingSlot
{
    /// <summary>How many intervals of the watch a thread that computes keeps the slot for.</summary>
    internal const int ComputingFactor = 5;

    /// <summary>What a look counts that proves nothing by itself; as for a stuck loop, see <see cref="LoopWatch"/>.</summary>
    private static readonly TimeSpan s_lateLook = WatchThread.Interval / 4;

    private const long Taken = 1;
    private const long Next = 2;

    private long _word;

    // Of the thread that has taken the slot. The work stays until the next, which keeps a connection's object or two from the collector.
    private KernelThread? _thread;
    private IThreadPoolWorkItem? _work;
    private long _began;

    // Of the watch.
    private long _seen;
    private TimeSpan _seenFor;
    private bool _wasBlocked;

    public bool IsTaken => (Volatile.Read(ref _word) & Taken) != 0;

    /// <summary>The number under which the calling thread has the slot now; 0: it is another thread's.</summary>
    public long TryTake()
    {
        long word = Volatile.Read(ref _word);
        long taken = word + Next + Taken;
        return (word & Taken) == 0 && Interlocked.CompareExchange(ref _word, taken, word) == word ? taken : 0;
    }

    /// <summary>
    /// The thread is about to run <paramref name="work"/>. Under a number that it gave back this does nothing: until a number has
    /// begun nobody else frees its slot, so a slot that still has it is the calling thread's.
    /// </summary>
    public void Begin(long number, IThreadPoolWorkItem work)
    {
        if (Volatile.Read(ref _word) != number)
        {
            return;
        }

        _thread = KernelThread.Current;
        _work = work;
        Volatile.Write(ref _began, number);
    }

    /// <summary>Frees the slot. False: it was freed before, or never taken under this number.</summary>
    public bool TryFree(long number) => Interlocked.CompareExchange(ref _word, number - Taken, number) == number;

    /// <summary>Frees the slot if its thread is blocked, or has computed for long. True: it did.</summary>
    public bool Look(TimeSpan elapsed)
    {
        long number = Volatile.Read(ref _word);
        if ((number & Taken) == 0 || Volatile.Read(ref _began) != number)
        {
            return false;
        }

        if (_seen != number)
        {
            _seen = number;
            _seenFor = TimeSpan.Zero;
            _wasBlocked = false;
            return false;
        }

        (KernelThread thread, IThreadPoolWorkItem work) = (_thread!, _work!);
        _seenFor += elapsed > TimeSpan.Zero ? elapsed : s_lateLook;
        if (_seenFor < WatchThread.Interval)
        {
            return false;
        }

        // Twice in a row: once it may have met a lock, or the collector. Where the kernel does not tell, it computes.
        bool looksBlocked = thread.IsRunnable() == false;
        bool isBlocked = looksBlocked && _wasBlocked;
        _wasBlocked = looksBlocked;
        if (!isBlocked && _seenFor < WatchThread.Interval * ComputingFactor)
        {
            return false;
        }

        if (!TryFree(number))
        {
            return false;
        }

        if (isBlocked && work is IResumable resumable)
        {
            resumable.Profile.SeenBlocked();
        }

        return true;
    }
}
