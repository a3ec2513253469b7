using System.Runtime.CompilerServices;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// What a loop's poller told last, for as many threads as take from it. An event is taken by one of them. Thread-safe.
/// </summary>
/// <remarks>
/// One word: a sequence number, the next event, and how many there are. The events are beside it.
/// <code>
/// from              to               who
/// (k, i, n), i &lt; n  (k, i + 1, n)    a driver: it has read event i before, and has it if the compare-exchange succeeds
/// (k, n, n)         (k + 1, 0, m)    who holds the right to poll, after the poller has written the events
/// </code>
/// <para><b>A slow driver.</b> T1 reads the word and event i. T2 takes the rest of the pass, polls, and writes the events anew. T1's
/// compare-exchange fails by the sequence number, and what it has read, which may be half of each, is dropped.</para>
/// </remarks>
internal struct SharedPass()
{
    /// <summary>The most events of one pass.</summary>
    public const int MaxEvents = 256;

    private const int NextShift = 16;
    private const int SequenceShift = 32;
    private const long Mask = 0xFFFF;

    private long _word;

    /// <summary>Where the poller writes. For who holds the right to poll, while the pass is over.</summary>
    public PollEvent[] Events { get; } = new PollEvent[MaxEvents];

    /// <summary>Which pass it is.</summary>
    public readonly long Number => Volatile.Read(in _word) >>> SequenceShift;

    /// <summary>Whether every event was taken.</summary>
    public readonly bool IsOver
    {
        get
        {
            long word = Volatile.Read(in _word);
            return NextOf(word) == CountOf(word);
        }
    }

    /// <summary>A new pass: <paramref name="count"/> events may be taken from now on.</summary>
    public void Publish(int count) => Volatile.Write(ref _word, (((_word >>> SequenceShift) + 1) << SequenceShift) | (long)count);

    /// <summary>Takes one event, and tells how many were taken, this one included, and are left. False: the pass is over.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryTake(out PollEvent ready, out int taken, out int left)
    {
        long word = Volatile.Read(ref _word);
        while (NextOf(word) < CountOf(word))
        {
            ready = Events[NextOf(word)];
            long seen = Interlocked.CompareExchange(ref _word, word + (1L << NextShift), word);
            if (seen == word)
            {
                taken = NextOf(word) + 1;
                left = CountOf(word) - taken;
                return true;
            }

            word = seen;
        }

        ready = default;
        taken = left = 0;
        return false;
    }

    private static int NextOf(long word) => (int)((word >> NextShift) & Mask);

    private static int CountOf(long word) => (int)(word & Mask);
}
