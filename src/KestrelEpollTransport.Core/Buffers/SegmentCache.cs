using KestrelEpollTransport.Locking;

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

    [ThreadStatic]
    private static Magazines? s_threadMagazines;

    /// <summary>An unused segment; null if there is none.</summary>
    public static BufferSegment? TryTake() => Mine.TryTake();

    /// <summary>Keeps a segment that nobody uses any more.</summary>
    public static void Put(BufferSegment segment) => Mine.Put(segment);

    private static Magazines Mine => s_threadMagazines ??= new Magazines();

    /// <summary>
    /// A thread's two. The spare one is full, or there is none: so a thread that takes and puts in turns at the edge of a
    /// magazine does not ask the depot each time. A magazine is a stack, linked through the segments.
    /// </summary>
    private sealed class Magazines
    {
        private BufferSegment? _loaded;
        private int _rounds;
        private BufferSegment? _spare;

        public BufferSegment? TryTake()
        {
            BufferSegment? segment = _loaded ?? TryReload();
            if (segment is not null)
            {
                _loaded = segment.Pop();
                _rounds--;
            }

            return segment;
        }

        public void Put(BufferSegment segment)
        {
            if (_rounds == Rounds)
            {
                Unload();
            }

            segment.Push(_loaded);
            _loaded = segment;
            _rounds++;
        }

        private BufferSegment? TryReload()
        {
            BufferSegment? full = _spare;
            _spare = null;
            if (full is null)
            {
                using (s_lock.Hold())
                {
                    s_full.TryPop(out full);
                }
            }

            _loaded = full;
            _rounds = full is null ? 0 : Rounds;
            return full;
        }

        private void Unload()
        {
            BufferSegment? full = _spare;
            _spare = _loaded;
            _loaded = null;
            _rounds = 0;
            if (full is null)
            {
                return;
            }

            using (s_lock.Hold())
            {
                if (s_full.Count < MaxFull)
                {
                    s_full.Push(full);
                }
            }
        }
    }
}
