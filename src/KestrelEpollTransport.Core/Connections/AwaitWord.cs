using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The meeting point of one side that waits (the application, in a read or in a flush) and the many that can
/// end its wait. All of it is one word, and a wait is ended by exactly one of them.
/// </summary>
/// <remarks>
/// <code>
/// bit         meaning                                  set by                       cleared by
/// Ready       there may be something: try              anyone (SetReady)            the waiting side, before it tries
/// Waiting     the waiting side has left; who clears    the waiting side (TryWait)   whoever ends the wait, and so owes
///             this bit owes it exactly one resume                                   the resume
/// Canceled    Cancel was called                        anyone (Cancel)              the waiting side (TakeCanceled)
/// TokenFired  the cancellation token of the wait fired the token (FireToken)        the waiting side (TakeTokenFired)
/// Closed      nothing will ever come again             anyone (Close)               never
/// HangUp      the peer ended: read to the very end     the loop (SetReady)          never
/// Urgent      a short read proves nothing any more     the loop (SetReady)          never
/// </code>
/// <para>TryWait sets Waiting only while Ready, Canceled, TokenFired and Closed are all clear, in one
/// compare-exchange. That closes the window: the side clears Ready, then tries (receive, or look at the queue);
/// whatever changes after the clear sets Ready again, so either the try saw it or TryWait fails and the side
/// tries once more. Between clear and try there is no order in which both miss.</para>
/// <para>From the moment Waiting is set, the waiting side touches nothing: another thread may run the resume.</para>
/// </remarks>
internal struct AwaitWord
{
    private const int Ready = 1;
    private const int Waiting = 2;
    private const int Canceled = 4;
    private const int TokenFired = 8;
    private const int Closed = 16;

    /// <summary>To pass to <see cref="SetReady"/>: the peer ended.</summary>
    public const int HangUp = 32;

    /// <summary>To pass to <see cref="SetReady"/>: short reads prove nothing from now on.</summary>
    public const int Urgent = 64;

    private const int NoWait = Ready | Canceled | TokenFired | Closed;

    private int _state;

    public readonly bool IsReady => (Volatile.Read(in _state) & Ready) != 0;

    public readonly bool IsClosed => (Volatile.Read(in _state) & Closed) != 0;

    public readonly bool IsCanceled => (Volatile.Read(in _state) & Canceled) != 0;

    public readonly bool IsTokenFired => (Volatile.Read(in _state) & TokenFired) != 0;

    public readonly bool HasHungUp => (Volatile.Read(in _state) & HangUp) != 0;

    /// <summary>Whether a short count proves that nothing is left.</summary>
    public readonly bool TrustsShortCounts => (Volatile.Read(in _state) & (HangUp | Urgent)) == 0;

    /// <summary>There may be something to do. True: the caller ended a wait and owes the resume.</summary>
    public bool SetReady(int sticky = 0) => Set(Ready | sticky);

    /// <summary>The waiting side, before it tries.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ClearReady() => Interlocked.And(ref _state, ~Ready);

    /// <summary>The waiting side leaves. False: something happened meanwhile, look again.</summary>
    public bool TryWait()
    {
        int state = Volatile.Read(ref _state);
        while ((state & NoWait) == 0)
        {
            int seen = Interlocked.CompareExchange(ref _state, state | Waiting, state);
            if (seen == state)
            {
                return true;
            }

            state = seen;
        }

        return false;
    }

    /// <summary>The present wait, or else the next one, is to end as cancelled. True: the caller owes the resume.</summary>
    public bool Cancel() => Set(Canceled);

    /// <summary>The token of the present wait fired. True: the caller owes the resume.</summary>
    public bool FireToken() => Set(TokenFired);

    /// <summary>Nothing will ever come again. True: the caller owes the resume.</summary>
    public bool Close() => Set(Closed);

    /// <summary>The waiting side takes a cancellation; false if there is none.</summary>
    public bool TakeCanceled() => Take(Canceled);

    /// <summary>The waiting side takes what its token said, after the registration was disposed; false if nothing.</summary>
    public bool TakeTokenFired() => Take(TokenFired);

    private bool Set(int bits)
    {
        int state = Volatile.Read(ref _state);
        while (true)
        {
            // Written even if all bits are set: the fence puts what the caller did before the waiting side's next look.
            int seen = Interlocked.CompareExchange(ref _state, (state | bits) & ~Waiting, state);
            if (seen == state)
            {
                return (state & Waiting) != 0;
            }

            state = seen;
        }
    }

    private bool Take(int bit) =>
        (Volatile.Read(ref _state) & bit) != 0 && (Interlocked.And(ref _state, ~bit) & bit) != 0;
}
