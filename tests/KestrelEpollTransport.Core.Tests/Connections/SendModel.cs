using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>
/// The writing side over a <see cref="SendWord"/>, in the steps of <see cref="Sender"/> and <see cref="ConnectionWriter"/>, with the
/// kernel's room, the queue and the watch as numbers.
/// </summary>
internal sealed class SendModel(int room)
{
    public SendWord Word;

    // The kernel.
    private int _room = room;

    // The queue.
    private int _written;
    private int _committed;
    private int _sent;
    private int _discarded;
    private bool _hasChain;

    // Who holds what.
    private int _senders;
    private bool _isLent;
    private bool _isReclaiming;
    private bool _isClosed;

    // The watch.
    private int _watched;

    /// <summary>Writes one byte and flushes it.</summary>
    public IEnumerable<Step> Flush()
    {
        foreach (Step step in WriteAndCommit())
        {
            yield return step;
        }

        foreach (Step step in Begin(returnsLoan: true))
        {
            yield return step;
        }
    }

    /// <summary>Writes one byte and marks it.</summary>
    public IEnumerable<Step> FlushMarking()
    {
        foreach (Step step in WriteAndCommit())
        {
            yield return step;
        }

        yield return "Mark";
        _isLent = false;
        MarkOutcome outcome = Word.Mark();
        if (outcome == MarkOutcome.Watch)
        {
            yield return "add to the watch";
            _watched++;
        }
        else if (outcome == MarkOutcome.Closed)
        {
            foreach (Step step in Begin(returnsLoan: true))
            {
                yield return step;
            }
        }
    }

    public IEnumerable<Step> FlushTwice() => Flush().Concat(Flush());

    public IEnumerable<Step> FlushMarkingTwice() => FlushMarking().Concat(FlushMarking());

    /// <summary>A reader that is about to wait, or a dispatch that returns.</summary>
    public IEnumerable<Step> SendMarked()
    {
        yield return "IsMarked";
        if (Word.IsMarked)
        {
            foreach (Step step in Begin(returnsLoan: false))
            {
                yield return step;
            }
        }
    }

    /// <summary>The watch takes one connection out of its queue, if there ever is one.</summary>
    public IEnumerable<Step> Watch()
    {
        yield return new Step("the watch looks", () => _watched > 0, MayStay: true);
        _watched--;
        yield return "Unwatch";
        if (Word.Unwatch())
        {
            foreach (Step step in Begin(returnsLoan: false))
            {
                yield return step;
            }
        }
    }

    /// <summary>The peer reads, and the loop is told.</summary>
    public IEnumerable<Step> Edge()
    {
        yield return "the kernel gets room";
        _room += 2;
        yield return "OnWritable";
        if (Word.OnWritable())
        {
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
        _isClosed = true;
        if (Word.Close())
        {
            BecomeSender();
            foreach (Step step in Drain())
            {
                yield return step;
            }
        }
    }

    public void Check()
    {
        Assert.Equal(0, _senders);
        Assert.False(_isLent || _isReclaiming);
        Assert.Equal(_written, _committed);
        Assert.True(_isClosed || _discarded == 0, "Bytes were discarded of an open connection.");
        if (Word.IsMarked && _watched > 0)
        {
            // The watch has the connection: it sends what is unsent, and frees the chain.
            return;
        }

        if (_sent + _discarded < _committed)
        {
            // The loop sends, at the next edge.
            Assert.True(_room == 0 && Word.OnWritable(), "Committed bytes that nobody will send.");
            return;
        }

        Assert.False(_hasChain, "Everything is sent, and a block is still held.");
    }

    private IEnumerable<Step> WriteAndCommit()
    {
        // Lend spins while the chain is reclaimed.
        yield return new Step("Lend", () => !_isReclaiming);
        Word.Lend();
        _isLent = true;
        yield return "write";
        Assert.False(_isReclaiming, "The tail was lent while it was freed.");
        _hasChain = true;
        _written++;
        yield return "commit";
        _committed = _written;
    }

    private IEnumerable<Step> Begin(bool returnsLoan)
    {
        yield return "TryBegin";
        if (returnsLoan)
        {
            _isLent = false;
        }

        if (Word.TryBegin(returnsLoan) == BeginSend.Mine)
        {
            BecomeSender();
            foreach (Step step in Drain())
            {
                yield return step;
            }
        }
    }

    private void BecomeSender()
    {
        _senders++;
        Assert.Equal(1, _senders);
        Assert.False(_isReclaiming, "A sender while the chain is freed.");
    }

    private IEnumerable<Step> Drain()
    {
        while (true)
        {
            yield return "is anything unsent?";
            while (_sent + _discarded < _committed)
            {
                yield return "ClearWritable";
                Word.ClearWritable();
                yield return "IsClosed";
                if (Word.IsClosed)
                {
                    yield return "discard";
                    _discarded = _committed - _sent;
                    continue;
                }

                yield return "send";
                bool wouldBlock = _room == 0;
                int count = Math.Min(_room, _committed - _sent - _discarded);
                _room -= count;
                _sent += count;
                if (wouldBlock)
                {
                    yield return "TryBlock";
                    if (Word.TryBlock())
                    {
                        _senders--;
                        yield break;
                    }
                }
            }

            yield return "TryEnd";
            EndSend end = Word.TryEnd();
            if (end == EndSend.Again)
            {
                continue;
            }

            _senders--;
            if (end == EndSend.Done)
            {
                yield break;
            }

            _isReclaiming = true;
            yield return "free the chain";
            Assert.False(_isLent, "The tail was freed while it was lent.");
            Assert.Equal(_committed, _sent + _discarded);
            _hasChain = false;
            yield return "EndReclaim";
            _isReclaiming = false;
            if (!Word.EndReclaim())
            {
                yield break;
            }

            BecomeSender();
        }
    }
}
