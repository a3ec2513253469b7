using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Connections;

/// <summary>What became of a call's attempt to own the reading side.</summary>
internal enum EnterRead
{
    Entered,    // The caller owns the reading side, until Leave or TryWait.
    InUse,      // A read is pending, or another call is inside.
    Completed,  // The reader was completed.
}

/// <summary>What the owner of the reading side has to do as it leaves.</summary>
internal enum LeaveRead
{
    Done,          // Nothing: it is no longer the owner.
    ReceiveAhead,  // Still the owner: receive ahead, then leave again.
    Free,          // The reader was completed, and nobody will own it again: free the buffer.
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

    /// <summary>Whether a short count proves that nothing is left.</summary>
    public readonly bool TrustsShortCounts => (Volatile.Read(in _state) & (HangUp | Urgent)) == 0;

    /// <summary>A call of the application wants to own the reading side. Waits for a receiving ahead, which is bounded.</summary>
    public EnterRead TryEnter()
    {
        int state = Volatile.Read(ref _state);
        do
        {
            while ((state & (IsAhead | Completed)) == IsAhead)
            {
                // Not SpinWait: it sleeps for zero now and then, and Thread.Interrupt ends that.
                Thread.Yield();
                state = Volatile.Read(ref _state);
            }

            if ((state & (Owned | Waiting | Completed)) != 0)
            {
                return (state & Completed) != 0 ? EnterRead.Completed : EnterRead.InUse;
            }
        }
        while (!TryMove(ref state, state | Owned));
        return EnterRead.Entered;
    }

    /// <summary>
    /// Something is ready and nobody waits for it. True: the caller owns the reading side, to receive ahead. False: the owner will,
    /// or there is no need.
    /// </summary>
    public bool TryBeginAhead()
    {
        int state = Volatile.Read(ref _state);
        while ((state & (Ready | Waiting | Ended | Completed)) == Ready)
        {
            bool owned = (state & Owned) != 0;
            if (TryMove(ref state, owned ? state | AskedAhead : state | Owned | IsAhead))
            {
                return !owned;
            }
        }

        return false;
    }

    /// <summary>The owner leaves.</summary>
    public LeaveRead Leave()
    {
        int state = Volatile.Read(ref _state);
        bool ahead;
        do
        {
            ahead = (state & (AskedAhead | Ready | Ended | Completed)) == (AskedAhead | Ready);
        }
        while (!TryMove(ref state, state & ~(ahead ? AskedAhead : Owned | IsAhead | AskedAhead)));
        return ahead ? LeaveRead.ReceiveAhead : (state & Completed) != 0 ? LeaveRead.Free : LeaveRead.Done;
    }

    /// <summary>The owner leaves, and the application waits. False: still the owner, as something happened meanwhile.</summary>
    public bool TryWait()
    {
        int state = Volatile.Read(ref _state);
        while ((state & NoWait) == 0)
        {
            if (TryMove(ref state, (state | Waiting) & ~(Owned | AskedAhead)))
            {
                return true;
            }
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

    /// <summary>The application reads no more. True: for the first time.</summary>
    /// <param name="resumes">The caller ended a wait and resumes the reader, which then frees the buffer.</param>
    /// <param name="frees">Nobody owns the buffer, or will: the caller frees it.</param>
    public bool Complete(out bool resumes, out bool frees)
    {
        int before = Change(Completed);
        bool isFirst = (before & Completed) == 0;
        resumes = (before & Waiting) != 0;
        frees = isFirst && (before & (Waiting | Owned)) == 0;
        return isFirst;
    }

    /// <summary>The owner takes a cancellation; false if there is none.</summary>
    public bool TakeCanceled() => Take(Canceled);

    /// <summary>The owner takes what the read's token said, after the registration was disposed; false if nothing.</summary>
    public bool TakeTokenFired() => Take(TokenFired);

    private readonly bool Has(int bit) => (Volatile.Read(in _state) & bit) != 0;

    private bool Set(int bits) => (Change(bits) & Waiting) != 0;

    // Adds bits and ends a wait; returns the word before. Written even if all bits are set: the fence puts what the caller did before the
    // owner's next look.
    private int Change(int bits)
    {
        int state = Volatile.Read(ref _state);
        while (!TryMove(ref state, (state & Waiting) != 0 ? (state | bits | Owned) & ~Waiting : state | bits))
        {
        }

        return state;
    }

    private bool Take(int bit) => Has(bit) && (Interlocked.And(ref _state, ~bit) & bit) != 0;

    // True: the word is the next one, and state the one before. False: state is what the word has become.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryMove(ref int state, int next)
    {
        int seen = Interlocked.CompareExchange(ref _state, next, state);
        bool moved = seen == state;
        state = seen;
        return moved;
    }
}
