using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Native;

/// <summary>
/// Counts the system calls that are in flight on a descriptor, so that it is closed once, by one party, and
/// never under somebody's call: the number is given to another file as soon as it is free.
/// </summary>
/// <remarks>
/// <code>
/// from             to               who                      who closes the descriptor
/// n calls          n+1 calls        TryEnter                 -
/// n calls          n-1 calls        Leave                    -
/// 0 calls          closing, 0       Close: returns true      the caller of Close
/// n calls          closing, n       Close: returns false     the last of the n to leave
/// closing, n       closing, n-1     Leave: true at 0         the caller of that Leave
/// closing, n       (refused)        TryEnter: returns false  -
/// </code>
/// </remarks>
internal struct DescriptorGuard
{
    private const int Closing = 1;
    private const int OneCall = 2;

    private int _state;

    public readonly bool IsClosing => (Volatile.Read(in _state) & Closing) != 0;

    /// <summary>Before a call. False: the descriptor is, or soon will be, closed: do not use it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryEnter()
    {
        int state = Volatile.Read(ref _state);
        while ((state & Closing) == 0)
        {
            int seen = Interlocked.CompareExchange(ref _state, state + OneCall, state);
            if (seen == state)
            {
                return true;
            }

            state = seen;
        }

        return false;
    }

    /// <summary>After a call. True: the caller was the last one out and has to close the descriptor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Leave() => Interlocked.Add(ref _state, -OneCall) == Closing;

    /// <summary>No call may begin any more. True: none is in flight and the caller has to close the descriptor.</summary>
    public bool Close()
    {
        int state = Interlocked.Or(ref _state, Closing);
        return state == 0;
    }
}
