using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>What a <see cref="SendModel"/> does wrong on purpose, for the checks to find.</summary>
internal enum SendFlaw
{
    None,

    /// <summary>Would-block, Blocked, and the sender leaves.</summary>
    SendsOnce,

    /// <summary>Blocked is set after the second send.</summary>
    BlocksLate,

    /// <summary>The second send overtakes the store of Blocked, which the loop sees when the lock is left.</summary>
    LacksTheFence,

    /// <summary>A unix socket is not asked to tell of room.</summary>
    NeverAsks,

    /// <summary>A turn that is over leaves Blocked set, and the drain that it posts has nothing to do.</summary>
    StaysBlocked,
}

/// <summary>
/// The one thing that the sending side decides without its lock, in the steps of <see cref="ConnectionWriter"/>: whether the loop has to
/// send when it is told of room. The kernel's buffer, the queue and the turn are numbers.
/// </summary>
/// <param name="isTcp">TCP tells of room after each send that found none; a unix socket once it was asked to.</param>
internal sealed class SendModel(int room, bool isTcp = true, SendFlaw flaw = SendFlaw.None)
{
    private const int PerTurn = 2;

    // The kernel. Room is told to one event, which the loop may be late to see.
    private int _room = room;
    private bool _foundNone;
    private bool _event;

    // Under the lock.
    private bool _locked;
    private int _unsent;
    private bool _blocked;
    private bool _asked;
    private int _drains;

    /// <summary>What the loop reads of Blocked without the lock.</summary>
    private bool _seenBlocked;

    // The kernel's answer to the latest send, which is the lock holder's.
    private bool _tookAll;
    private bool _wouldBlock;

    /// <summary>A flush, with bytes that are committed under the lock.</summary>
    public IEnumerable<Step> Flush(int bytes)
    {
        yield return Lock();
        _locked = true;
        _unsent += bytes;
        foreach (Step step in SendUnlessBlocked())
        {
            yield return step;
        }
    }

    public IEnumerable<Step> MakeRoom(int room)
    {
        yield return "the peer reads";
        _room += room;
        if (isTcp ? _foundNone : _asked)
        {
            _foundNone = false;
            _event = true;
        }
    }

    /// <summary>A hint of the poller: told of room, and there is none.</summary>
    public IEnumerable<Step> Hint()
    {
        yield return "a hint";
        _event = true;
    }

    /// <summary>The loop: what it is told, and the drains that are posted to it.</summary>
    public IEnumerable<Step> Loop()
    {
        while (true)
        {
            yield return new Step("the loop has something to do", () => _event || _drains > 0, MayStay: true);
            if (_event)
            {
                _event = false;
                foreach (Step step in OnWritable())
                {
                    yield return step;
                }
            }
            else
            {
                _drains--;
                yield return Lock();
                _locked = true;
                foreach (Step step in SendUnlessBlocked())
                {
                    yield return step;
                }
            }
        }
    }

    public void Check()
    {
        Assert.False(_locked);
        Assert.False(_event);
        Assert.Equal(_blocked, _seenBlocked);
        Assert.Equal(0, _drains);
        if (_unsent > 0)
        {
            Assert.True(_room == 0, "Stuck beside room.");
            Assert.True(_blocked, "Nobody will send when there is room.");
            Assert.True(isTcp ? _foundNone : _asked, "Nobody will be told of room.");
        }
        else
        {
            Assert.False(_blocked, "The next flush would wait for an event that does not come.");
        }
    }

    private IEnumerable<Step> OnWritable()
    {
        yield return "look at Blocked";
        if (!_seenBlocked)
        {
            yield break;
        }

        yield return Lock();
        _locked = true;
        if (_blocked)
        {
            foreach (Step step in Send())
            {
                yield return step;
            }
        }
        else
        {
            foreach (Step step in Unlock())
            {
                yield return step;
            }
        }
    }

    private IEnumerable<Step> SendUnlessBlocked()
    {
        foreach (Step step in _blocked ? Unlock() : Send())
        {
            yield return step;
        }
    }

    private IEnumerable<Step> Send()
    {
        int left = PerTurn;
        while (_unsent > 0 && left > 0)
        {
            yield return "send";
            left -= SendOnce(left);
            if (_tookAll)
            {
                continue;
            }

            if (_blocked)
            {
                if (_wouldBlock)
                {
                    break;
                }

                continue;
            }

            if (flaw != SendFlaw.NeverAsks)
            {
                yield return "ask for room";
                Ask();
            }

            if (flaw == SendFlaw.BlocksLate)
            {
                yield return "send again";
                left -= SendOnce(left);
            }

            yield return "set Blocked";
            _blocked = true;
            if (flaw != SendFlaw.LacksTheFence)
            {
                yield return "fence";
                _seenBlocked = true;
            }

            if (flaw is SendFlaw.SendsOnce or SendFlaw.BlocksLate)
            {
                break;
            }
        }

        if (_unsent == 0)
        {
            _blocked = false;
            _asked = false;
        }
        else if (left <= 0)
        {
            _blocked = flaw == SendFlaw.StaysBlocked && _blocked;
            _drains = 1;
        }

        foreach (Step step in Unlock())
        {
            yield return step;
        }
    }

    // Offers what is left of the turn; returns how much the kernel took.
    private int SendOnce(int left)
    {
        Assert.True(_locked);
        int offered = Math.Min(_unsent, left);
        int took = Math.Min(offered, _room);
        _room -= took;
        _unsent -= took;
        _tookAll = took == offered;
        _wouldBlock = took == 0 && offered > 0;
        _foundNone |= _wouldBlock;
        return took;
    }

    private void Ask()
    {
        if (!_asked)
        {
            _asked = true;

            // Asking tells at once if there is room already.
            _event |= !isTcp && _room > 0;
        }
    }

    private Step Lock() => new("lock", () => !_locked);

    // A store that was not fenced is seen at the latest when the lock is left.
    private IEnumerable<Step> Unlock()
    {
        yield return "leave the lock";
        _seenBlocked = _blocked;
        _locked = false;
    }
}
