using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>What a <see cref="ReadModel"/> does wrong on purpose, for the checks to find.</summary>
internal enum ReadFlaw
{
    None,

    /// <summary>Ready is cleared after the receive that it is to guard.</summary>
    ReceivesBeforeClear,

    /// <summary>A wait that was refused is taken for one.</summary>
    WaitsRegardless,

    /// <summary>The owner leaves though it was asked to receive ahead.</summary>
    ForgetsAhead,

    /// <summary>Whoever completes frees, and leaves nothing to the owner.</summary>
    FreesRegardless,

    /// <summary>The loop says ready before the kernel has anything.</summary>
    TellsEarly,

    /// <summary>What the token said is taken before its registration is disposed.</summary>
    TakesTokenEarly,

    /// <summary>A read that is resumed and ends without receiving tells nobody of what is left.</summary>
    ForgetsUnread,
}

/// <summary>
/// The reading side on a <see cref="ReadState"/>, in the steps of <see cref="ConnectionReader"/>, with the kernel's queue as a number;
/// and everyone who may end a wait, receive ahead or complete the reader.
/// </summary>
internal sealed class ReadModel(ReadFlaw flaw = ReadFlaw.None)
{
    public ReadState Word;

    // The kernel.
    private int _queued;
    private int _arrived;
    private bool _fin;

    // The buffer, and who may touch it.
    private Owner _owner;
    private int _received;
    private int _consumed;
    private int _freed;

    // The reader.
    private bool _produced;
    private bool _isCanceled;
    private bool _waits;
    private bool _registered;
    private bool _tokenIsCanceled;
    private bool _stops;
    private bool _unreadIsLeft;
    private int _toldCanceled;

    // Who ended a wait and has not run the resume yet; and what else was asked for.
    private int _owed;
    private int _canceled;
    private int _completed;
    private int _firsts;
    private bool _leavesInput;
    private End _end;

    private enum Owner
    {
        Nobody,
        Reader,
        Ahead,
    }

    private enum End
    {
        None,
        Clean,
        Failed,
    }

    private int Buffered => _received - _consumed;

    /// <summary>The first look is made with Ready set, as a descriptor is told ready at registration.</summary>
    public static ReadModel Ready(ReadFlaw flaw = ReadFlaw.None)
    {
        ReadModel model = new(flaw);
        model.Word.SetReady();
        return model;
    }

    /// <summary>One read, with a token: looks, and waits, until it has a result.</summary>
    public IEnumerable<Step> Read() => ReadOnce(hasToken: true, mayReceive: true);

    /// <summary>A connection's first read, which receives nothing before it waits.</summary>
    public IEnumerable<Step> ReadFirst() => ReadOnce(hasToken: true, mayReceive: false);

    /// <summary>A read, AdvanceTo, and a read that has no token.</summary>
    public IEnumerable<Step> ReadTwice()
    {
        foreach (Step step in ReadOnce(hasToken: true, mayReceive: true))
        {
            yield return step;
        }

        foreach (Step step in AdvanceTo())
        {
            yield return step;
        }

        foreach (Step step in ReadOnce(hasToken: false, mayReceive: true))
        {
            yield return step;
        }
    }

    /// <summary>Something arrives, and the loop leaves it to a read that may come.</summary>
    public IEnumerable<Step> Arrive() => Arrive(goesAhead: false, isFin: false);

    /// <summary>Something arrives, and the loop receives it ahead, as while a flush waits.</summary>
    public IEnumerable<Step> ArriveAhead() => Arrive(goesAhead: true, isFin: false);

    /// <summary>The peer ends, and the loop receives to the end.</summary>
    public IEnumerable<Step> ArriveFin() => Arrive(goesAhead: true, isFin: true);

    public IEnumerable<Step> Cancel()
    {
        yield return "Cancel";
        _canceled++;
        Owe(Word.Cancel());
    }

    public IEnumerable<Step> FireToken()
    {
        yield return "the token is cancelled";
        _tokenIsCanceled = true;
        if (_registered)
        {
            // Disposing the registration waits for a callback that runs, so this is one step.
            Owe(Word.FireToken());
        }
    }

    /// <summary>Our own end: every read fails.</summary>
    public IEnumerable<Step> Fail()
    {
        yield return "write the end";
        if (_end == End.None)
        {
            _end = End.Failed;
            yield return "End";
            Owe(Word.End());
        }
    }

    public IEnumerable<Step> Complete()
    {
        yield return "Complete";
        _completed++;
        bool isFirst = Word.Complete(out bool resumes, out bool frees);
        _firsts += isFirst ? 1 : 0;
        Assert.False(frees && resumes, "Two are to free.");
        Assert.False(frees && !isFirst, "Frees for the second time.");
        Owe(resumes);
        if (flaw == ReadFlaw.FreesRegardless ? isFirst : frees)
        {
            yield return "free";
            Free();
        }
    }

    /// <summary>The loop, which receives ahead what a read has left.</summary>
    public IEnumerable<Step> ReceiveUnread()
    {
        while (true)
        {
            yield return new Step("unread input runs", () => _unreadIsLeft, MayStay: true);
            _unreadIsLeft = false;
            foreach (Step step in ReceiveAhead())
            {
                yield return step;
            }
        }
    }

    public void Check()
    {
        Assert.Equal(0, _owed);
        Assert.Equal(_arrived, _received + _queued);
        Assert.Equal(Owner.Nobody, _owner);
        Assert.Equal(_completed > 0 ? 1 : 0, _freed);
        Assert.Equal(_completed > 0 ? 1 : 0, _firsts);
        Assert.False(Word.IsTokenFired, "The token of this read would end the next one.");

        bool cancelIsLeft = Word.TakeCanceled();
        Assert.True(_canceled == 0 || _toldCanceled > 0 || cancelIsLeft, "A cancellation was lost.");
        Assert.False(_canceled == 1 && _toldCanceled > 0 && cancelIsLeft, "One cancellation would end two reads.");
        if (_waits)
        {
            // The lost wake-up, in each of its forms.
            Assert.Equal(0, _queued);
            Assert.False(_fin, "Waits for ever after the end of the stream.");
            Assert.False(cancelIsLeft);
            Assert.False(_registered && _tokenIsCanceled);
            Assert.Equal(End.None, _end);
            Assert.Equal(0, _completed);
            Assert.False(Word.IsReady);
        }

        if (_end == End.Failed || _completed > 0)
        {
            Assert.False(Word.TryBeginAhead(), "Would receive for nobody.");
            return;
        }

        Assert.True(_queued == 0 || Word.IsReady, "The next read would not look at what is queued.");
        if (_fin || !_leavesInput)
        {
            Assert.True(_queued == 0, "What was to be received ahead is forgotten.");
            Assert.True(_end == (_fin ? End.Clean : End.None), "The end of the stream was not received, or there was none.");
        }
    }

    private IEnumerable<Step> Arrive(bool goesAhead, bool isFin)
    {
        if (flaw != ReadFlaw.TellsEarly)
        {
            yield return "enqueue";
            if (!TryEnqueue(goesAhead, isFin))
            {
                yield break;
            }
        }

        yield return "SetReady";
        bool resumes = Word.SetReady(isFin ? ReadState.HangUp : 0);
        Owe(resumes);
        if (flaw == ReadFlaw.TellsEarly)
        {
            yield return "enqueue";
            TryEnqueue(goesAhead, isFin);
        }

        if (resumes || !goesAhead)
        {
            yield break;
        }

        foreach (Step step in ReceiveAhead())
        {
            yield return step;
        }
    }

    private IEnumerable<Step> ReceiveAhead()
    {
        yield return "TryBeginAhead";
        if (Word.TryBeginAhead())
        {
            Own(Owner.Ahead);
            foreach (Step step in ReceiveWhileReady(Owner.Ahead, isAhead: true))
            {
                yield return step;
            }

            foreach (Step step in Leave(Owner.Ahead))
            {
                yield return step;
            }
        }
    }

    private bool TryEnqueue(bool goesAhead, bool isFin)
    {
        if (_fin)
        {
            // Nothing comes behind a FIN.
            return false;
        }

        _fin = isFin;
        _queued += isFin ? 0 : 1;
        _arrived += isFin ? 0 : 1;
        _leavesInput |= !goesAhead;
        return true;
    }

    private IEnumerable<Step> ReadOnce(bool hasToken, bool mayReceive)
    {
        if (_stops)
        {
            yield break;
        }

        yield return Entry();
        if (!TryEnter())
        {
            yield break;
        }

        foreach (Step step in Produce(mayReceive))
        {
            yield return step;
        }

        if (!_produced)
        {
            foreach (Step step in Wait(hasToken))
            {
                yield return step;
            }
        }

        foreach (Step step in Leave(Owner.Reader))
        {
            yield return step;
        }
    }

    // As CompletePendingRead.
    private IEnumerable<Step> Wait(bool hasToken)
    {
        bool isUnproductive = false;
        if (hasToken)
        {
            yield return "register with the token";
            _registered = true;
            Assert.False(_tokenIsCanceled && Word.FireToken(), "Ended a wait before it began.");
        }

        while (true)
        {
            yield return "TryWait";
            if (TryWait())
            {
                yield return new Step("the resume runs", () => _owed > 0, MayStay: true);
                _owed--;
            }

            yield return "IsCompleted";
            if (Word.IsCompleted)
            {
                break;
            }

            foreach (Step step in Produce(mayReceive: true))
            {
                yield return step;
            }

            if (_produced)
            {
                isUnproductive = _isCanceled;
                break;
            }

            yield return "IsTokenFired";
            if (Word.IsTokenFired)
            {
                Assert.True(hasToken, "The token of one read ended the next.");
                isUnproductive = true;
                break;
            }
        }

        if (isUnproductive && flaw != ReadFlaw.ForgetsUnread)
        {
            yield return "is something left?";
            Touch(Owner.Reader);
            _unreadIsLeft |= Word.IsReady && _end == End.None;
        }

        if (flaw == ReadFlaw.TakesTokenEarly)
        {
            yield return "TakeTokenFired";
            Word.TakeTokenFired();
        }

        yield return "dispose the token's registration";
        _registered = false;
        if (flaw != ReadFlaw.TakesTokenEarly)
        {
            yield return "TakeTokenFired";
            Word.TakeTokenFired();
        }
    }

    private IEnumerable<Step> AdvanceTo()
    {
        if (_stops)
        {
            yield break;
        }

        yield return Entry();
        if (!TryEnter())
        {
            yield break;
        }

        yield return "advance";
        Touch(Owner.Reader);
        _consumed = _received;
        foreach (Step step in Leave(Owner.Reader))
        {
            yield return step;
        }
    }

    // As TryProduce: _produced says whether the read has a result.
    private IEnumerable<Step> Produce(bool mayReceive)
    {
        _produced = _isCanceled = false;
        yield return "has it failed?";
        if (_end == End.Failed)
        {
            _produced = true;
            yield break;
        }

        yield return "TakeCanceled";
        if (Word.TakeCanceled())
        {
            _toldCanceled++;
            _isCanceled = true;
            _produced = true;
            yield break;
        }

        if (Buffered == 0 && mayReceive)
        {
            foreach (Step step in ReceiveWhileReady(Owner.Reader, isAhead: false))
            {
                yield return step;
            }
        }

        yield return "is there a result?";
        Touch(Owner.Reader);
        _produced = _end != End.None || Buffered > 0;
    }

    private IEnumerable<Step> ReceiveWhileReady(Owner by, bool isAhead)
    {
        while (true)
        {
            yield return "IsReady";
            if (!Word.IsReady || _end != End.None || !(isAhead || Buffered == 0 || Word.HasHungUp))
            {
                break;
            }

            if (flaw != ReadFlaw.ReceivesBeforeClear)
            {
                yield return "ClearReady";
                Word.ClearReady();
            }

            yield return "recv";
            Touch(by);
            int count = _queued;
            bool isEnd = count == 0 && _fin;
            _received += count;
            _queued = 0;
            if (flaw == ReadFlaw.ReceivesBeforeClear)
            {
                yield return "ClearReady";
                Word.ClearReady();
            }

            yield return "what was received?";
            if (isEnd && _end == End.None)
            {
                _end = End.Clean;
                Assert.False(Word.End(), "Ended a wait beside an owner.");
            }
            else if (count > 0 && !Word.TrustsShortCounts)
            {
                Assert.False(Word.SetReady(), "Ended a wait beside an owner.");
            }
        }
    }

    private IEnumerable<Step> Leave(Owner by)
    {
        while (true)
        {
            yield return "Leave";
            LeaveRead left = Word.Leave();
            if (left == LeaveRead.ReceiveAhead)
            {
                if (flaw != ReadFlaw.ForgetsAhead)
                {
                    foreach (Step step in ReceiveWhileReady(by, isAhead: true))
                    {
                        yield return step;
                    }
                }

                continue;
            }

            Touch(by);
            _owner = Owner.Nobody;
            if (left == LeaveRead.Free)
            {
                yield return "free";
                Free();
            }

            yield break;
        }
    }

    // The real one spins while someone receives ahead.
    private Step Entry() => new("TryEnter", () => _owner != Owner.Ahead);

    private bool TryEnter()
    {
        EnterRead entered = Word.TryEnter();
        Assert.NotEqual(EnterRead.InUse, entered);
        if (entered == EnterRead.Completed)
        {
            Assert.True(_completed > 0);
            _stops = true;
            return false;
        }

        Assert.Equal(0, _completed);
        Own(Owner.Reader);
        return true;
    }

    // True: the reader waits for a resume that someone else owes.
    private bool TryWait()
    {
        Touch(Owner.Reader);
        bool waits = Word.TryWait();
        if (waits || flaw == ReadFlaw.WaitsRegardless)
        {
            _owner = Owner.Nobody;
            _waits = true;
            return true;
        }

        return false;
    }

    private void Owe(bool owes)
    {
        if (owes)
        {
            // Whoever ends a wait owns the reading side for the reader, at once.
            Assert.True(_waits, "A resume is owed to somebody who does not wait.");
            Assert.Equal(0, _owed);
            _waits = false;
            _owed++;
            Own(Owner.Reader);
        }
    }

    private void Own(Owner by)
    {
        Assert.Equal(Owner.Nobody, _owner);
        Assert.Equal(0, _freed);
        _owner = by;
    }

    private void Touch(Owner by)
    {
        Assert.Equal(by, _owner);
        Assert.True(_freed == 0, "Touched after it was freed.");
    }

    private void Free()
    {
        Assert.True(_owner == Owner.Nobody && !_waits, "Freed beside an owner.");
        Assert.True(_freed == 0, "Freed twice.");
        _freed++;
    }
}
