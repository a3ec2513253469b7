using System.Numerics;

namespace KestrelEpollTransport.Loops;

/// <summary>Which seats of a loop are taken, whether one of those threads polls, or sleeps, and whether the loop is to end. Thread-safe.</summary>
/// <remarks>
/// One word: a bit for each seat, one for the right to poll, one that who has it sleeps, one that a thread was called and has not come,
/// and one that the loop stops.
/// <code>
/// from                   to                      who
/// seats                  seats, polls            TryBeginPoll: a driver that found the pass over
/// seats, polls           seats, polls, sleeps    BeginSleep: the same, about to wait; then it looks at the queue once more
/// seats, polls, sleeps   seats, polls            TryTakeWake: a poster after it enqueued; it, and no other, then wakes the poller
/// seats, polls [sleeps]  seats                   EndPoll: who polls, after it has published the pass and before its first dispatch
/// any, stops             the same, without both  EndPoll: a driver that an exception ended, whoever polls; Stop has woken it
/// seats [polls [sleeps]] seats + s, calls [...]  TryCall: on behalf of a thread that is called
/// calls                  the same, without       Come: the thread that was called
/// seats, polls [sleeps]  seats - s, polls [sleeps] TryLeave: a driver that found the pass over; it does not poll, and so it is not the last
/// seats + s [...]        seats [...]             TryLeave, declines: a driver that came to share a pass, and is not the last, while nobody is called
/// any                    the same, stops         Stop: from then on nobody begins to poll, joins, or leaves but by Leave
/// seats [...]            seats - s [...]         Leave: a driver of a loop that stops; for a seat that finds no thread; the last ends the loop
/// </code>
/// <para><b>Somebody is always responsible</b>: the README page says why.</para>
/// <para><b>Who declines counts on those whose seats it sees.</b> A seat that is kept for a thread which may be refused is none of them, so
/// nobody declines meanwhile, and a refused thread's seat goes together with its call.</para>
/// <para><b>A post while it falls asleep.</b> T1 says that it sleeps, fences, and reads the queue. T2 writes the queue, fences, and reads
/// whether it sleeps. At least one sees the other, so T1 does not wait, or is woken. A wake that comes late makes one later wait return early.</para>
/// <para>A seat whose thread is stuck is passed on to another thread, <see cref="Permit"/>, and does not change here.</para>
/// </remarks>
internal struct Crew(int maxSeats)
{
    /// <summary>The most seats of a loop.</summary>
    public const int Limit = 32;

    private const long Polls = 1L << Limit;
    private const long Stops = 2L << Limit;
    private const long Calls = 4L << Limit;
    private const long Sleeps = 8L << Limit;
    private const long Seats = Polls - 1;

    // The first seat is that of the thread that is to drive the loop first.
    private long _word = 1;

    /// <summary>Whether a thread polls, or is about to publish what it was told.</summary>
    public readonly bool IsPolled => (Word & Polls) != 0;

    /// <summary>Whether nobody but one thread that sleeps is here.</summary>
    public readonly bool IsAtRest => (Word & Sleeps) != 0 && IsAlone;

    /// <summary>Whether one thread drives the loop at most.</summary>
    public readonly bool IsAlone => Count <= 1;

    /// <summary>How many seats are taken.</summary>
    public readonly int Count => BitOperations.PopCount((ulong)(Word & Seats));

    /// <summary>Whether a thread was called and has not come.</summary>
    public readonly bool IsCalled => (Word & Calls) != 0;

    public readonly bool IsStopping => (Word & Stops) != 0;

    private readonly long Word => Volatile.Read(in _word);

    public readonly bool Has(int seat) => (Word & (1L << seat)) != 0;

    public void Stop() => Interlocked.Or(ref _word, Stops);

    public bool TryBeginPoll()
    {
        long word = Word;
        while ((word & (Polls | Stops)) == 0)
        {
            if (TryMove(ref word, word | Polls))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Who polls is about to wait: it must look at the queue after this and before it waits.</summary>
    public void BeginSleep() => Interlocked.Or(ref _word, Sleeps);

    /// <summary>Called after enqueuing. True: the caller has to wake the poller. A full fence, and no write while nobody sleeps.</summary>
    public bool TryTakeWake()
    {
        Interlocked.MemoryBarrier();
        return (Word & Sleeps) != 0 && (Interlocked.And(ref _word, ~Sleeps) & Sleeps) != 0;
    }

    /// <summary>Who polls no longer does. A full fence: who looks for a loop at rest either sees this, or is seen after it.</summary>
    public void EndPoll() => Interlocked.And(ref _word, ~(Polls | Sleeps));

    /// <summary>Takes a seat for a thread that is called. False: none is free, one was called and has not come, or the loop stops.</summary>
    public bool TryCall(out int seat)
    {
        long word = Word;
        while (true)
        {
            seat = BitOperations.TrailingZeroCount(~word);
            if (seat >= maxSeats || (word & (Stops | Calls)) != 0)
            {
                return false;
            }

            if (TryMove(ref word, word | (1L << seat) | Calls))
            {
                return true;
            }
        }
    }

    public void Come() => Interlocked.And(ref _word, ~Calls);

    /// <summary>
    /// Gives up a seat whose thread is not needed, as somebody polls; who <paramref name="declines"/> does so although nobody may. False: it is
    /// needed; or who declines is the last, or a seat is kept for a thread that has not come.
    /// </summary>
    public bool TryLeave(int seat, bool declines)
    {
        long word = Word;
        while (declines ? (word & (Stops | Calls)) == 0 && (word & Seats) != 1L << seat : (word & (Polls | Stops)) == Polls)
        {
            if (TryMove(ref word, word & ~(1L << seat)))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Gives up a seat; one that was refused was kept for a thread that was called, and will not come. True: it was the last, and the caller
    /// ends the loop.
    /// </summary>
    public bool Leave(int seat, bool isRefused = false) =>
        (Interlocked.And(ref _word, ~((1L << seat) | (isRefused ? Calls : 0))) & Seats) == 1L << seat;

    // True: the word is the next one. False: word is what it has become.
    private bool TryMove(ref long word, long next)
    {
        long seen = Interlocked.CompareExchange(ref _word, next, word);
        bool moved = seen == word;
        word = seen;
        return moved;
    }
}
