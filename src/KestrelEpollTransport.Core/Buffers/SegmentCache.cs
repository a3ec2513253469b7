namespace KestrelEpollTransport.Buffers;

/// <summary>
/// The segment objects that nobody uses. Each thread has two magazines of its own; full and empty ones are exchanged
/// with a depot, so that threads which only rent live on what threads release that only return (Bonwick and Adams,
/// "Magazines and Vmem", USENIX 2001). The blocks are not kept, and the objects are small. Thread-safe.
/// </summary>
internal static class SegmentCache
{
    /// <summary>How many objects a magazine has. What a burst of a thread needs, and what the depot's lock is taken for.</summary>
    internal const int Rounds = 32;

    /// <summary>How many full magazines the depot keeps: 150 kB of objects. What is beyond goes to the collector.</summary>
    private const int MaxFull = 64;

    private static readonly Lock s_lock = new();
    private static readonly Stack<BufferSegment> s_full = new(MaxFull);

    // A magazine is a stack, linked through the segments. The spare one is full or there is none: so a thread that rents and
    // returns in turns at the edge of a magazine does not ask the depot each time.
    [ThreadStatic]
    private static BufferSegment? s_threadLoaded;

    [ThreadStatic]
    private static int s_threadRounds;

    [ThreadStatic]
    private static BufferSegment? s_threadSpare;

    /// <summary>An unused segment; null if there is none.</summary>
    public static BufferSegment? TryTake()
    {
        BufferSegment? segment = s_threadLoaded ?? TryReload();
        if (segment is not null)
        {
            s_threadLoaded = segment.Pop();
            s_threadRounds--;
        }

        return segment;
    }

    /// <summary>Keeps a segment that nobody uses any more.</summary>
    public static void Put(BufferSegment segment)
    {
        if (s_threadRounds == Rounds)
        {
            Unload();
        }

        segment.Push(s_threadLoaded);
        s_threadLoaded = segment;
        s_threadRounds++;
    }

    private static BufferSegment? TryReload()
    {
        BufferSegment? full = s_threadSpare;
        s_threadSpare = null;
        if (full is null)
        {
            lock (s_lock)
            {
                s_full.TryPop(out full);
            }
        }

        s_threadLoaded = full;
        s_threadRounds = full is null ? 0 : Rounds;
        return full;
    }

    // The magazine that is loaded is full.
    private static void Unload()
    {
        BufferSegment? full = s_threadSpare;
        s_threadSpare = s_threadLoaded;
        s_threadLoaded = null;
        s_threadRounds = 0;
        if (full is not null)
        {
            lock (s_lock)
            {
                if (s_full.Count < MaxFull)
                {
                    s_full.Push(full);
                }
            }
        }
    }
}
