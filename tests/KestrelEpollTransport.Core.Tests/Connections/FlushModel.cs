using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>What a <see cref="FlushModel"/> does wrong on purpose, for the checks to find.</summary>
internal enum FlushFlaw
{
    None,

    /// <summary>Ready is cleared after the look at what is unsent.</summary>
    ClearsLate,

    /// <summary>The drainer looks whether anyone waits before it says what it sent.</summary>
    TellsEarly,
}

/// <summary>
/// A flush that waits for room on an <see cref="AwaitWord"/>, in the steps of <see cref="ConnectionWriter"/>, with what is
/// unsent as a number; and those who send, close and cancel.
/// </summary>
internal sealed class FlushModel(int unsent, FlushFlaw flaw = FlushFlaw.None)
{
    private const int PauseAbove = 3;
    private const int ResumeAt = 1;

    public AwaitWord Word;

    private int _unsent = unsent;
    private bool _ended;
    private bool _canceled;
    private bool _toldCanceled;
    private bool _inWait;
    private bool _done;
    private int _owed;

    public static FlushModel Create(int unsent, FlushFlaw flaw = FlushFlaw.None)
    {
        FlushModel model = new(unsent, flaw);
        model.Word.SetReady();
        return model;
    }

    /// <summary>As FlushAsync from MustWait on, and the resume.</summary>
    public IEnumerable<Step> Flush()
    {
        yield return "TakeCanceled";
        if (Word.TakeCanceled())
        {
            _toldCanceled = true;
            _done = true;
            yield break;
        }

        yield return "is too much unsent?";
        bool tooMuch = _unsent > PauseAbove;
        yield return "is it closed?";
        if (!tooMuch || _ended)
        {
            _done = true;
            yield break;
        }

        bool stillTooMuch = false;
        if (flaw == FlushFlaw.ClearsLate)
        {
            yield return "is it still too much?";
            stillTooMuch = _unsent > ResumeAt;
        }

        yield return "ClearReady";
        Word.ClearReady();
        if (flaw != FlushFlaw.ClearsLate)
        {
            yield return "is it still too much?";
            stillTooMuch = _unsent > ResumeAt;
        }

        if (!stillTooMuch)
        {
            yield return "SetReady";
            Assert.False(Word.SetReady(), "Ended a wait of its own.");
            _done = true;
            yield break;
        }

        yield return "TryWait";
        bool waits = Word.TryWait();
        while (true)
        {
            if (waits)
            {
                _inWait = true;
                yield return new Step("the resume runs", () => _owed > 0, MayStay: true);
                _owed--;
                _inWait = false;
            }

            waits = false;
            yield return "has the wait a reason to end?";
            if (Word.IsClosed || Word.IsCanceled || _unsent <= ResumeAt)
            {
                break;
            }

            yield return "ClearReady again";
            Word.ClearReady();
            yield return "is it too much again?";
            if (_unsent > ResumeAt)
            {
                yield return "TryWait again";
                waits = Word.TryWait();
            }
        }

        yield return "TakeCanceled at the end";
        _toldCanceled = Word.TakeCanceled();
        _done = true;
    }

    /// <summary>A sender: sends, leaves, and then tells a flush that waits; as OnSent.</summary>
    public IEnumerable<Step> Drain(int count)
    {
        bool ready = false;
        if (flaw == FlushFlaw.TellsEarly)
        {
            yield return "IsReady";
            ready = Word.IsReady;
        }

        yield return $"send {count}";
        _unsent -= count;
        if (flaw != FlushFlaw.TellsEarly)
        {
            yield return "IsReady";
            ready = Word.IsReady;
        }

        if (ready)
        {
            yield break;
        }

        yield return "is it half or less?";
        if (_unsent <= ResumeAt)
        {
            yield return "SetReady";
            Owe(Word.SetReady());
        }
    }

    public IEnumerable<Step> Cancel()
    {
        yield return "Cancel";
        _canceled = true;
        Owe(Word.Cancel());
    }

    public IEnumerable<Step> Close()
    {
        yield return "discard";
        _ended = true;
        _unsent = 0;
        yield return "Close";
        Owe(Word.Close());
    }

    public void Check()
    {
        Assert.Equal(0, _owed);
        Assert.NotEqual(_done, _inWait);
        if (_inWait)
        {
            // The lost wake-up, in each of its forms.
            Assert.True(_unsent > ResumeAt, "Waits for ever, and there is room.");
            Assert.False(_ended);
            Assert.False(_canceled);
        }

        Assert.True(_canceled || !_toldCanceled);
        Assert.True(!_canceled || _toldCanceled || Word.IsCanceled, "A cancellation was lost.");
        Assert.False(_toldCanceled && Word.IsCanceled, "One cancellation would end two flushes.");
    }

    private void Owe(bool owes)
    {
        if (owes)
        {
            Assert.True(_inWait, "A resume is owed to somebody who does not wait.");
            Assert.Equal(0, _owed);
            _owed++;
        }
    }
}
