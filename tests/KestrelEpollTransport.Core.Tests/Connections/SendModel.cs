using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>What a <see cref="SendModel"/> does wrong on purpose, for the checks to find.</summary>
internal enum SendFlaw
{
    None,

    /// <summary>Blocked is published without the look for an edge since the clear.</summary>
    BlocksUnchecked,

    /// <summary>Writable is cleared after the send that it is to guard.</summary>
    ClearsAfterSend,

    /// <summary>The sender leaves though it was told to look again.</summary>
    LeavesAtAgain,

    /// <summary>The chain is freed after the reclaim was said to have ended.</summary>
    FreesLate,

    /// <summary>The producer commits after it asked who sends.</summary>
    CommitsLate,

    /// <summary>The producer marks, and forgets to tell the watch.</summary>
    ForgetsTheWatch,
}

/// <summary>
/// The sending side on a <see cref="SendWord"/>, in the steps of <see cref="Sender"/>, with the kernel's buffer as a number
/// and the chain of blocks as a list; and everyone who writes, sends, makes room or closes.
/// </summary>
/// <param name="isTcp">A unix socket is told room only once it has asked, after the send that found none.</param>
internal sealed class SendModel(SendFlaw flaw = SendFlaw.None, bool isTcp = true)
{
    public SendWord Word;

    // The kernel.
    private readonly List<int> _taken = [];
    private int _room;
    private bool _noSpace;
    private bool _asked;
    private bool _event;

    // The queue: bytes are numbered as they are written.
    private readonly List<int> _chain = [];
    private int _written;
    private int _committed;
    private int _sent;
    private int _discarded;

    // Who does what.
    private bool _sending;
    private bool _blocked;
    private bool _reclaiming;
    private bool _lent;
    private bool _completing;
    private bool _toldAllSent;
    private bool _closed;
    private int _watched;

    /// <summary>Nothing is written, and the kernel has room for so many.</summary>
    public static SendModel Idle(int room, SendFlaw flaw = SendFlaw.None, bool isTcp = true) => new(flaw, isTcp) { _room = room };

    /// <summary>Something is committed and nobody has begun to send it.</summary>
    public static SendModel Committed(int room, SendFlaw flaw = SendFlaw.None, bool isTcp = true)
    {
        SendModel model = Idle(room, flaw, isTcp);
        model.Write();
        model._committed = model._written;
        return model;
    }

    /// <summary>Something is committed and the kernel is full: the loop is to send.</summary>
    public static SendModel Blocked()
    {
        SendModel model = Committed(room: 0);
        foreach (Step _ in model.Send(returnsLoan: false))
        {
            // One after the other: nobody else is there.
        }

        Assert.True(model._blocked);
        return model;
    }

    /// <summary>One flush that sends, or leaves it to the present sender.</summary>
    public IEnumerable<Step> Flush()
    {
        foreach (Step step in LendAndWrite())
        {
            yield return step;
        }

        if (flaw != SendFlaw.CommitsLate)
        {
            yield return "commit";
            _committed = _written;
        }

        foreach (Step step in Send(returnsLoan: true))
        {
            yield return step;
        }

        if (flaw == SendFlaw.CommitsLate)
        {
            yield return "commit";
            _committed = _written;
        }
    }

    /// <summary>One flush that leaves its bytes to whoever sends next.</summary>
    public IEnumerable<Step> FlushMarked()
    {
        foreach (Step step in LendAndWrite())
        {
            yield return step;
        }

        yield return "commit";
        _committed = _written;
        yield return "Mark";
        _lent = false;
        MarkOutcome outcome = Word.Mark();
        if (outcome == MarkOutcome.Watch && flaw != SendFlaw.ForgetsTheWatch)
        {
            yield return "add to the watch";
            _watched++;
            Assert.Equal(1, _watched);
        }
        else if (outcome == MarkOutcome.Closed)
        {
            foreach (Step step in Send(returnsLoan: true))
            {
                yield return step;
            }
        }
    }

    /// <summary>Takes the tail and keeps it: a caller between GetMemory and its flush.</summary>
    public IEnumerable<Step> LendOnly()
    {
        foreach (Step step in LendAndWrite())
        {
            yield return step;
        }

        yield return "still lent";
        Assert.Contains(_written - 1, _chain);
    }

    /// <summary>A flush, and then the writer is completed.</summary>
    public IEnumerable<Step> FlushAndComplete() => Flush().Concat(Complete());

    /// <summary>The writer is completed: whatever is left is sent, and then the connection told.</summary>
    public IEnumerable<Step> Complete()
    {
        yield return "write that it completes";
        _completing = true;
        foreach (Step step in Send(returnsLoan: true))
        {
            yield return step;
        }
    }

    /// <summary>Begins to send what was committed before.</summary>
    public IEnumerable<Step> SendCommitted() => Send(returnsLoan: false);

    /// <summary>The end of a dispatch, or a posted drain.</summary>
    public IEnumerable<Step> SendMarked()
    {
        yield return "IsMarked";
        if (Word.IsMarked)
        {
            foreach (Step step in Send(returnsLoan: false))
            {
                yield return step;
            }
        }
    }

    /// <summary>The watch, which looks at what is in its queue.</summary>
    public IEnumerable<Step> Watch()
    {
        while (true)
        {
            yield return new Step("the watch dequeues", () => _watched > 0, MayStay: true);
            _watched--;
            yield return "Unwatch";
            if (Word.Unwatch())
            {
                foreach (Step step in Send(returnsLoan: false))
                {
                    yield return step;
                }
            }
        }
    }

    /// <summary>The peer reads: there is room for so many more.</summary>
    public IEnumerable<Step> MakeRoom(int count)
    {
        yield return $"room for {count}";
        _room += count;
        _event |= _noSpace && (isTcp || _asked);
        _noSpace = false;
    }

    /// <summary>The loop, told what the kernel has to tell.</summary>
    public IEnumerable<Step> Loop()
    {
        while (true)
        {
            yield return new Step("the loop is told", () => _event, MayStay: true);
            _event = false;
            foreach (Step step in OnWritable())
            {
                yield return step;
            }
        }
    }

    /// <summary>Readiness may be told without need.</summary>
    public IEnumerable<Step> OnWritable()
    {
        yield return "OnWritable";
        if (Word.OnWritable())
        {
            _blocked = false;
            BecomeSender();
            foreach (Step step in Drain())
            {
                yield return step;
            }
        }
    }

    public IEnumerable<Step> Close()
    {
        yield return "Close";
        bool mine = Word.Close();
        _closed = true;
        if (mine)
        {
            _blocked = false;
            BecomeSender();
            foreach (Step step in Drain())
            {
                yield return step;
            }
        }
    }

    public void Check()
    {
        Assert.Equal(_committed, _sent);
        CheckOwed();
    }

    /// <summary>As <see cref="Check"/>, where it is legal that somebody still owes a send.</summary>
    public void CheckOwed()
    {
        Assert.False(_sending, "A sender never left.");
        Assert.False(_reclaiming, "A reclaim never ended.");
        Assert.Equal(Enumerable.Range(0, _taken.Count), _taken);
        Assert.Equal(_sent, _taken.Count + _discarded);
        Assert.True(_discarded == 0 || _closed, "Discarded what could be sent.");
        Assert.False(_blocked && _room > 0, "Blocked beside room, and nobody will tell.");
        Assert.False(_blocked && !_noSpace, "Blocked, and the kernel does not know.");
        Assert.False(_blocked && _closed, "Closed, and what was queued is kept.");
        Assert.True(_sent == _committed || _blocked || (_watched > 0 && Word.IsMarked), "Committed, and nobody owes the send.");
        Assert.True(_sent < _committed || _lent || _chain.Count == 0 || _watched > 0, "Idle, and keeps its memory.");
        Assert.Equal(_completing && _sent == _committed, _toldAllSent);

        // What the word says, by what it does next.
        SendWord copy = Word;
        Assert.Equal(_blocked ? BeginSend.Elsewhere : BeginSend.Mine, copy.TryBegin(returnsLoan: false));
    }

    private IEnumerable<Step> LendAndWrite()
    {
        yield return new Step("Lend", () => !_reclaiming);
        Word.Lend();
        _lent = true;
        yield return "write";
        Write();
    }

    private void Write() => _chain.Add(_written++);

    private IEnumerable<Step> Send(bool returnsLoan)
    {
        yield return "TryBegin";
        _lent &= !returnsLoan;
        if (Word.TryBegin(returnsLoan) == BeginSend.Mine)
        {
            BecomeSender();
            foreach (Step step in Drain())
            {
                yield return step;
            }
        }
    }

    private IEnumerable<Step> Drain()
    {
        while (true)
        {
            while (true)
            {
                yield return "is anything unsent?";
                if (_sent == _committed)
                {
                    break;
                }

                if (flaw != SendFlaw.ClearsAfterSend)
                {
                    yield return "ClearWritable";
                    Word.ClearWritable();
                }

                yield return "IsClosed";
                if (Word.IsClosed)
                {
                    yield return "discard";
                    _discarded += _committed - _sent;
                    _sent = _committed;
                    continue;
                }

                yield return "send";
                if (KernelTakes())
                {
                    continue;
                }

                if (!isTcp)
                {
                    yield return "ask for writable";
                    _asked = true;
                    _event |= _room > 0;
                }

                yield return "TryBlock";
                if (flaw is SendFlaw.BlocksUnchecked or SendFlaw.ClearsAfterSend)
                {
                    Word.ClearWritable();
                }

                if (Word.TryBlock())
                {
                    _sending = false;
                    _blocked = true;
                    yield break;
                }
            }

            yield return "TryEnd";
            EndSend end = Word.TryEnd();
            if (end == EndSend.Again && flaw != SendFlaw.LeavesAtAgain)
            {
                continue;
            }

            _sending = false;
            if (end != EndSend.Reclaim)
            {
                yield break;
            }

            _reclaiming = true;
            if (flaw != SendFlaw.FreesLate)
            {
                yield return "free";
                Free();
            }

            yield return "has the writer completed?";
            bool allSent = _completing;
            yield return "EndReclaim";
            _reclaiming = false;
            bool again = Word.EndReclaim();
            if (flaw == SendFlaw.FreesLate)
            {
                yield return "free";
                Free();
            }

            if (!again)
            {
                if (allSent)
                {
                    yield return "tell that all is sent";
                    Assert.True(_completing && _sent == _committed, "Told too early.");
                    _toldAllSent = true;
                }

                yield break;
            }

            BecomeSender();
        }
    }

    private void BecomeSender()
    {
        Assert.False(_sending, "Two send at once.");
        Assert.False(_reclaiming, "Sends what is being freed.");
        Assert.False(_blocked, "Sends beside the loop that is to send.");
        _sending = true;
    }

    // False: would block.
    private bool KernelTakes()
    {
        Assert.True(_sending);
        int count = Math.Min(_room, _committed - _sent);
        int first = _chain.IndexOf(_sent);
        Assert.True(first >= 0, "The bytes to send were freed.");
        _taken.AddRange(_chain.GetRange(first, count));
        _noSpace |= _sent + count < _committed;
        _sent += count;
        _room -= count;
        return count > 0;
    }

    private void Free()
    {
        Assert.False(_lent, "Freed while lent.");
        Assert.False(_sending, "Freed while somebody sends.");

        Assert.Equal(_written, _sent);
        _chain.Clear();
    }
}
