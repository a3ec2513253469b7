using System.Runtime.CompilerServices;

namespace KestrelEpollTransport.Connections;

/// <summary>What became of an attempt to begin sending.</summary>
internal enum BeginSend
{
    /// <summary>The caller is the sender now, until <see cref="SendWord.TryBlock"/> or <see cref="SendWord.TryEnd"/>.</summary>
    Mine,

    /// <summary>Another thread sends, and will look again; or the kernel is full, and the loop will send.</summary>
    Elsewhere,
}

/// <summary>What the sender has to do after it sent all that it saw.</summary>
internal enum EndSend
{
    /// <summary>More was committed meanwhile: still the sender, look again.</summary>
    Again,

    /// <summary>No longer the sender, and nothing else to do.</summary>
    Done,

    /// <summary>No longer the sender, but everything is sent and nobody writes: free the chain, then call <see cref="SendWord.EndReclaim"/>.</summary>
    Reclaim,
}

/// <summary>What a mark asks of its caller.</summary>
internal enum MarkOutcome
{
    /// <summary>The watch knows the connection already, or a sender is about to look anyway.</summary>
    Known,

    /// <summary>The caller registers the connection with the watch.</summary>
    Watch,

    /// <summary>Closed: there is nothing to wait for, begin to send and so discard.</summary>
    Closed,
}

/// <summary>
/// The writing side's word: who sends, whether the kernel has room, whether the writer's caller holds memory.
/// </summary>
/// <remarks>
/// <code>
/// bit         meaning                                     set by                          cleared by
/// Writable    the kernel may have room                    the loop (OnWritable)           the sender, before each send
/// Sending     one thread owns the head of the chain       BeginSend, OnWritable, Close    that thread: TryBlock, EndSend
/// More        look again before leaving                   who found Sending set           the sender
/// Blocked     no room: the next edge makes the loop send  the sender (TryBlock)           OnWritable, Close
/// Lent        the writer's caller holds the tail          the caller (Lend)               the caller (BeginSend, Mark)
/// Marked      committed, to be sent by whoever is next    Mark                            who begins to send
/// Watched     the watch has the connection in its queue   Mark                            the watch (Unwatch)
/// Closed      discard instead of send                     Close                           never
/// Reclaiming  the chain is being freed                    EndSend                         EndReclaim
/// </code>
/// <para>Sending, Blocked and Reclaiming exclude each other. The sender touches bytes up to the committed mark, and
/// segments that another one follows; the tail belongs to the writer's caller while Lent, and to the
/// reclaimer while Reclaiming.</para>
/// <para><b>No room, and the edge.</b> The sender clears Writable, sends, is told would-block. If the edge came between the
/// clear and now, Writable is set and TryBlock fails: it sends again. If it comes later, OnWritable finds
/// Blocked and takes it. Blocked is never published over an edge that has been.</para>
/// <para><b>Committed, and the sender leaving.</b> A flush commits (release), then finds Sending and sets More. The sender
/// leaves by compare-exchange from a word without More, or finds More and reads the committed mark again.</para>
/// <para><b>Lending, and reclaiming.</b> Both are taken by compare-exchange from a word without the other; Lend waits for a
/// reclaim, which is a handful of returns to the pool.</para>
/// </remarks>
internal struct SendWord
{
    private const int Writable = 1;
    private const int Sending = 2;
    private const int More = 4;
    private const int Blocked = 8;
    private const int Lent = 16;
    private const int Marked = 32;
    private const int Watched = 64;
    private const int Closed = 128;
    private const int Reclaiming = 256;

    private int _state;

    public readonly bool IsMarked => (Volatile.Read(in _state) & Marked) != 0;

    public readonly bool IsClosed => (Volatile.Read(in _state) & Closed) != 0;

    /// <summary>The writer's caller takes the tail. It is the only one that lends.</summary>
    public void Lend()
    {
        SpinWait spin = default;
        while (true)
        {
            int state = Volatile.Read(ref _state);
            if ((state & Reclaiming) != 0)
            {
                spin.SpinOnce();
            }
            else if (Interlocked.CompareExchange(ref _state, state | Lent, state) == state)
            {
                return;
            }
        }
    }

    /// <summary>Tries to become the sender, after the bytes to send were committed.</summary>
    /// <param name="returnsLoan">The writer's caller gives the tail back.</param>
    public BeginSend TryBegin(bool returnsLoan)
    {
        int state = Volatile.Read(ref _state);
        while (true)
        {
            int next = returnsLoan ? state & ~Lent : state;
            BeginSend outcome = BeginSend.Elsewhere;
            if ((state & (Sending | Reclaiming)) != 0)
            {
                next |= More;
            }
            else if ((state & Blocked) == 0)
            {
                next = (next | Sending) & ~(More | Marked);
                outcome = BeginSend.Mine;
            }

            int seen = Interlocked.CompareExchange(ref _state, next, state);
            if (seen == state)
            {
                return outcome;
            }

            state = seen;
        }
    }

    /// <summary>Committed, but not to be sent by this caller: whoever comes next takes it along.</summary>
    public MarkOutcome Mark()
    {
        int state = Volatile.Read(ref _state);
        while (true)
        {
            int next = state & ~Lent;
            MarkOutcome outcome = MarkOutcome.Known;
            if ((state & (Sending | Reclaiming)) != 0)
            {
                next |= More;
            }
            else if ((state & Closed) != 0)
            {
                // Still lent: the caller begins to send, and so discards, and gives the tail back with that.
                return MarkOutcome.Closed;
            }
            else if ((state & Blocked) == 0)
            {
                next |= Marked | Watched;
                outcome = (state & Watched) == 0 ? MarkOutcome.Watch : MarkOutcome.Known;
            }

            int seen = Interlocked.CompareExchange(ref _state, next, state);
            if (seen == state)
            {
                return outcome;
            }

            state = seen;
        }
    }

    /// <summary>The watch took the connection out of its queue. True: something is marked and due.</summary>
    public bool Unwatch() => (Interlocked.And(ref _state, ~Watched) & Marked) != 0;

    /// <summary>The sender, before each send: an edge from here on is remembered.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ClearWritable() => Interlocked.And(ref _state, ~Writable);

    /// <summary>
    /// The sender was told would-block and leaves the rest to the loop. False: there was an edge, or Close, since
    /// <see cref="ClearWritable"/>; still the sender, try again.
    /// </summary>
    public bool TryBlock()
    {
        int state = Volatile.Read(ref _state);
        while ((state & (Writable | Closed)) == 0)
        {
            int seen = Interlocked.CompareExchange(ref _state, (state | Blocked) & ~(Sending | More | Marked), state);
            if (seen == state)
            {
                return true;
            }

            state = seen;
        }

        return false;
    }

    /// <summary>The kernel has room. True: the caller is the sender now.</summary>
    public bool OnWritable()
    {
        int state = Volatile.Read(ref _state);
        while (true)
        {
            bool blocked = (state & Blocked) != 0;
            int next = blocked ? (state | Writable | Sending) & ~Blocked : state | Writable;
            int seen = Interlocked.CompareExchange(ref _state, next, state);
            if (seen == state)
            {
                return blocked;
            }

            state = seen;
        }
    }

    /// <summary>The sender sent all it saw.</summary>
    public EndSend TryEnd()
    {
        int state = Volatile.Read(ref _state);
        while (true)
        {
            int next;
            EndSend outcome;
            if ((state & More) != 0)
            {
                next = state & ~(More | Marked);
                outcome = EndSend.Again;
            }
            else if ((state & Lent) != 0)
            {
                next = state & ~Sending;
                outcome = EndSend.Done;
            }
            else
            {
                next = (state & ~Sending) | Reclaiming;
                outcome = EndSend.Reclaim;
            }

            int seen = Interlocked.CompareExchange(ref _state, next, state);
            if (seen == state)
            {
                return outcome;
            }

            state = seen;
        }
    }

    /// <summary>
    /// The chain is freed. True: something was committed meanwhile by a caller that left it to us, and this thread
    /// is the sender again.
    /// </summary>
    public bool EndReclaim()
    {
        int state = Volatile.Read(ref _state);
        while (true)
        {
            bool more = (state & More) != 0;
            int next = more ? (state | Sending) & ~(Reclaiming | More | Marked) : state & ~Reclaiming;
            int seen = Interlocked.CompareExchange(ref _state, next, state);
            if (seen == state)
            {
                return more;
            }

            state = seen;
        }
    }

    /// <summary>From now on everything is discarded. True: the caller is the sender now, to discard what is queued.</summary>
    public bool Close()
    {
        int state = Volatile.Read(ref _state);
        while (true)
        {
            bool busy = (state & (Sending | Reclaiming)) != 0;
            int next = busy ? state | Closed | More : (state | Closed | Sending) & ~(Blocked | Marked);
            int seen = Interlocked.CompareExchange(ref _state, next, state);
            if (seen == state)
            {
                return !busy;
            }

            state = seen;
        }
    }
}
