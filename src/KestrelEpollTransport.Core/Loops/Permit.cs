using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// Which thread has a seat of a loop: the one that was last given it. A thread that is stuck in a dispatch can lose the seat
/// to another one, and finds out when the dispatch returns.
/// </summary>
/// <remarks>
/// One word: a sequence number and the phase, Running or Dispatching. Whoever holds the present number may take of the pass, poll and leave
/// from this seat.
/// <code>
/// from             to               who                     what it may touch then
/// Running(n)       Dispatching(n+1) the owner (Begin)       application code; nothing of the driver's
/// Dispatching(n)   Running(n)       the owner (TryEnd)      what is the driver's
/// Dispatching(n)   Running(n)       the watch (TryTake)     what is the driver's, to pass it to a new thread
/// Running(n)       (refused)        the watch (TryTake)     nothing
/// </code>
/// <para><b>The owner returns while the watch takes.</b> Both are a compare-exchange from exactly Dispatching(n): one fails. An
/// owner that fails touches nothing of the seat's any more. A watch that fails has taken nothing.</para>
/// <para><b>Two looks, two dispatches.</b> The watch takes from the number it saw, so a dispatch that returned and another
/// one that began between its look and its compare-exchange are left alone: numbers don't come again, as each Begin counts one
/// further. A take need not count: of Running nobody keeps the number, and who lost the seat does not begin.</para>
/// <para><b>What the owner wrote</b> before Begin (a release) is seen by who takes (an acquire), and by the thread that it
/// gives the seat to.</para>
/// </remarks>
// Two cache lines: written twice a dispatch, and each seat's by another thread.
[StructLayout(LayoutKind.Explicit, Size = 128)]
internal struct Permit
{
    private const long Dispatching = 1;
    private const long OneDispatch = 2;

    [FieldOffset(0)]
    private long _word;

    /// <summary>The dispatch that runs at this moment; 0: none.</summary>
    public readonly long Current
    {
        get
        {
            long word = Volatile.Read(in _word);
            return (word & Dispatching) != 0 ? word : 0;
        }
    }

    /// <summary>The owner enters code that may block. Returns the dispatch, for <see cref="TryEnd"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long Begin()
    {
        // Nobody else writes the word of a seat that is Running.
        long dispatch = _word + OneDispatch + Dispatching;
        Volatile.Write(ref _word, dispatch);
        return dispatch;
    }

    /// <summary>The dispatch returned. False: the seat is another thread's by now.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryEnd(long dispatch) =>
        Interlocked.CompareExchange(ref _word, dispatch - Dispatching, dispatch) == dispatch;

    /// <summary>Takes the seat from the thread that is in <paramref name="dispatch"/>. False: it has returned.</summary>
    public bool TryTake(long dispatch) => TryEnd(dispatch);
}
