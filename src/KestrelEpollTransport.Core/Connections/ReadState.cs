using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Connections;

/// <summary>What became of a call's attempt to own the reading side.</summary>
internal enum EnterRead
{
    /// <summary>The caller owns the reading side, until <see cref="ReadState.Leave"/> or <see cref="ReadState.TryWait"/>.</summary>
    Entered,

    /// <summary>A read is pending, or another call is inside.</summary>
    InUse,

    /// <summary>The reader was completed.</summary>
    Completed,
}

/// <summary>What the owner of the reading side has to do as it leaves.</summary>
internal enum LeaveRead
{
    /// <summary>Nothing: it is no longer the owner.</summary>
    Done,

    /// <summary>Still the owner: receive ahead, then leave again.</summary>
    ReceiveAhead,

    /// <summary>The reader was completed, and nobody will own it again: free the buffer.</summary>
    Free,
}

/// <summary>What whoever completed the reader has to do.</summary>
[Flags]
internal enum CompleteRead
{
    Nothing = 0,

    /// <summary>It was not completed before.</summary>
    First = 1,

    /// <summary>A wait was ended: resume the reader, which owns the buffer and frees it.</summary>
    Resume = 2,

    /// <summary>Nobody owns the buffer, or will: free it.</summary>
    Free = 4,
}

/// <summary>
/// The reading side's word: who owns it, whether the application waits, and what may end that wait.
/// </summary>
/// <remarks>
/// <code>
/// bit         meaning                                   set by                              cleared by
/// Ready       the kernel may have something             the loop; a receive that was filled the owner, before it receives
/// Owned       one thread may touch the buffer           TryEnter, TryBeginAhead, and who    Leave, TryWait
///                                                       ends a wait
/// IsAhead     the owner receives ahead: calls wait      TryBeginAhead                       Leave
/// Waiting     the application waits in a read           TryWait (from Owned)                who ends the wait (to Owned)
/// AskedAhead  receive ahead before leaving              TryBeginAhead that found Owned      Leave, TryWait
/// Canceled    CancelPendingRead was called              Cancel                              the owner
/// TokenFired  the token of the read was cancelled       FireToken                           the owner
/// Ended       the reader's end is decided               End                                 never
/// Completed   the application reads no more             Complete                            never
/// HangUp      the peer ended: receive to the very end   SetReady                            never
/// Urgent      a short receive proves nothing any more   SetReady                            never
/// </code>
/// <para><b>Ownership moves with the wait.</b> Whoever takes Waiting sets Owned in the same compare-exchange and resumes the
/// reader: the resume is the owner from its queueing on. So a wait is ended once, by one party.</para>
/// <para><b>No wake-up is lost.</b>
/// T1 (owner) clears Ready, receives, is told would-block, then TryWait.
/// T2 (loop) sets Ready.
/// Either T2 comes before TryWait, which then fails and T1 receives again; or after it, and T2 finds Waiting and takes it.</para>
/// <para><b>Receiving ahead is not lost.</b>
/// T1 owns. T2 (loop) has set Ready, finds Owned and sets AskedAhead. T1 leaves by compare-exchange from a word without
/// AskedAhead, or receives ahead first.</para>
/// </remarks>
internal struct ReadState
{
    private const int Ready = 1;
    private const int Owned = 2;
    private const int IsAhead = 4;
    private const int Waiting = 8;
    private const int AskedAhead = 16;
    private const int Canceled = 32;
    private const int TokenFired = 64;
    private const int Ended = 128;
    private const int Completed = 256;

    /// <summary>To pass to <see cref="SetReady"/>: the peer ended.</summary>
    public const int HangUp = 512;

    /// <summary>To pass to <see cref="SetReady"/>: short receives prove nothing from now on.</summary>
    public const int Urgent = 1024;

    private const int NoWait = Ready | Canceled | TokenFired | Ended | Completed;

    private int _state;

    public readonly bool IsReady => Has(Ready);

    public readonly bool IsCompleted => Has(Completed);

    public readonly bool IsTokenFired => Has(TokenFired);

    public readonly bool HasHungUp => Has(HangUp);

    /// <summary>Whether the application waits in a read. A hint.</summary>
    public readonly bool IsWaiting => Has(Waiting);

    /// <summary>Whether a short count proves that nothing is left.</summary>
    public readonly bool TrustsShortCounts => (Volatile.Read(in _state) & (HangUp | Urgent)) == 0;

    /// <summary>A call of the application wants to own the reading side. Waits for a receiving ahead, which is bounded.</summary>
    public EnterRead TryEnter()
    {
        SpinWait spin = default;
        int state = Volatile.Read(ref _state);
        while (true)
        {
            if ((state & Completed) != 0)
            {
                return EnterRead.Completed;
            }

            if ((state & IsAhead) != 0)
            {
                spin.SpinOnce();
                state = Volatile.Read(ref _state);
                continue;
            }

            if ((state & (Owned | Waiting)) != 0)
            {
                return EnterRead.InUse;
            }

            int seen = Interlocked.CompareExchange(ref _state, state | Owned, state);
            if (seen == state)
            {
                return EnterRead.Entered;
            }

            state = seen;
        }
    }

    /// <summary>
    /// Something is ready and nobody waits for it. True: the caller owns the reading side, to receive ahead. False: the owner will,
    /// or there is no need.
    /// </summary>
    public bool TryBeginAhead()
    {
        int state = Volatile.Read(ref _state);
        while ((state & (Waiting | Ended | Completed)) == 0 && (state & Ready) != 0)
        {
            bool owned = (state & Owned) != 0;
            int seen = Interlocked.CompareExchange(ref _state, owned ? state | AskedAhead : state | Owned | IsAhead, state);
            if (seen == state)
            {
                return !owned;
            }

            state = seen;
        }

        return false;
    }

    /// <summary>The owner leaves.</summary>
    public LeaveRead Leave()
    {
        int state = Volatile.Read(ref _state);
        while (true)
        {
            bool ahead = (state & (AskedAhead | Ready | Ended | Completed)) == (AskedAhead | Ready);
            int next = ahead ? state & ~AskedAhead : state & ~(Owned | IsAhead | AskedAhead);
            int seen = Interlocked.CompareExchange(ref _state, next, state);
            if (seen == state)
            {
                return ahead ? LeaveRead.ReceiveAhead : (state & Completed) != 0 ? LeaveRead.Free : LeaveRead.Done;
            }

            state = seen;
        }
    }

    /// <summary>The owner leaves, and the application waits. False: still the owner, as something happened meanwhile.</summary>
    public bool TryWait()
    {
        int state = Volatile.Read(ref _state);
        while ((state & NoWait) == 0)
        {
            int seen = Interlocked.CompareExchange(ref _state, (state | Waiting) & ~(Owned | AskedAhead), state);
            if (seen == state)
            {
                return true;
            }

            state = seen;
        }

        return false;
    }

    /// <summary>The owner, before it receives.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ClearReady() => Interlocked.And(ref _state, ~Ready);

    /// <summary>There may be something to receive. True: the caller ended a wait and resumes the reader.</summary>
    public bool SetReady(int sticky = 0) => Set(Ready | sticky);

    /// <summary>The present read, or else the next one, is to end as cancelled. True: the caller resumes the reader.</summary>
    public bool Cancel() => Set(Canceled);

    /// <summary>The token of the present read was cancelled. True: the caller resumes the reader.</summary>
    public bool FireToken() => Set(TokenFired);

    /// <summary>The reader's end is decided. True: the caller resumes the reader.</summary>
    public bool End() => Set(Ended);

    /// <summary>The application reads no more; idempotent.</summary>
    public CompleteRead Complete()
    {
        int state = Volatile.Read(ref _state);
        while (true)
        {
            bool waiting = (state & Waiting) != 0;
            int next = waiting ? (state | Completed | Owned) & ~Waiting : state | Completed;
            int seen = Interlocked.CompareExchange(ref _state, next, state);
            if (seen == state)
            {
                CompleteRead outcome = (state & Completed) == 0 ? CompleteRead.First : CompleteRead.Nothing;
                return waiting ? outcome | CompleteRead.Resume
                    : outcome == CompleteRead.First && (state & Owned) == 0 ? outcome | CompleteRead.Free
                    : outcome;
            }

            state = seen;
        }
    }

    /// <summary>The owner takes a cancellation; false if there is none.</summary>
    public bool TakeCanceled() => Take(Canceled);

    /// <summary>The owner takes what the read's token said, after the registration was disposed; false if nothing.</summary>
    public bool TakeTokenFired() => Take(TokenFired);

    private readonly bool Has(int bit) => (Volatile.Read(in _state) & bit) != 0;

    private bool Set(int bits)
    {
        int state = Volatile.Read(ref _state);
        while (true)
        {
            // Written even if all bits are set: the fence puts what the caller did before the owner's next look.
            bool waiting = (state & Waiting) != 0;
            int next = waiting ? (state | bits | Owned) & ~Waiting : state | bits;
            int seen = Interlocked.CompareExchange(ref _state, next, state);
            if (seen == state)
            {
                return waiting;
            }

            state = seen;
        }
    }

    private bool Take(int bit) =>
        Has(bit) && (Interlocked.And(ref _state, ~bit) & bit) != 0;
}
