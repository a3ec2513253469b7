using KestrelEpollTransport.Connections;

namespace KestrelEpollTransport.Tests.Connections;

/// <summary>
/// A read that waits on an <see cref="AwaitWord"/>, in the steps of <see cref="ConnectionReader"/>, with the kernel's queue
/// as a number; and everyone who may end its wait.
/// </summary>
internal sealed class ReadModel
{
    public AwaitWord Word;

    // The kernel.
    private int _queued;
    private int _arrived;

    // The reader.
    private int _received;
    private bool _done;
    private bool _inWait;
    private bool _registered = true;
    private bool _toldCanceled;
    private bool _toldToken;
    private bool _toldEnd;

    // Who ended a wait and has not run the resume yet.
    private int _owed;
    private int _canceled;
    private bool _ended;

    /// <summary>The first look is made with Ready set, as a descriptor is told ready at registration.</summary>
    public static ReadModel CreateReady()
    {
        ReadModel model = new();
        model.Word.SetReady();
        return model;
    }

    /// <summary>One read: looks, and waits, until it has a result.</summary>
    public IEnumerable<Step> Read()
    {
        while (true)
        {
            yield return "has it ended?";
            if (_ended)
            {
                _toldEnd = true;
                break;
            }

            yield return "TakeCanceled";
            if (Word.TakeCanceled())
            {
                _toldCanceled = true;
                break;
            }

            yield return "IsReady";
            if (Word.IsReady)
            {
                yield return "ClearReady";
                Word.ClearReady();
                yield return "recv";
                _received += _queued;
                _queued = 0;
            }

            if (_received > 0)
            {
                break;
            }

            yield return "IsTokenFired";
            if (Word.IsTokenFired)
            {
                _toldToken = true;
                break;
            }

            yield return "TryWait";
            if (Word.TryWait())
            {
                _inWait = true;
                yield return new Step("the resume runs", () => _owed > 0, MayStay: true);
                _owed--;
                _inWait = false;
            }
        }

        yield return "dispose the token's registration";
        _registered = false;
        yield return "TakeTokenFired";
        Word.TakeTokenFired();
        _done = true;
    }

    public IEnumerable<Step> Arrive()
    {
        yield return "enqueue";
        _queued++;
        _arrived++;
        yield return "SetReady";
        Owe(Word.SetReady());
    }

    public IEnumerable<Step> Cancel()
    {
        yield return "Cancel";
        _canceled++;
        Owe(Word.Cancel());
    }

    public IEnumerable<Step> FireToken()
    {
        yield return "FireToken";
        if (_registered)
        {
            // Disposing the registration waits for a callback that runs, so this is one step.
            Owe(Word.FireToken());
        }
    }

    public IEnumerable<Step> Close()
    {
        yield return "write the end";
        _ended = true;
        yield return "Close";
        Owe(Word.Close());
    }

    public void Check()
    {
        Assert.Equal(_arrived, _received + _queued);
        Assert.Equal(0, _owed);
        if (_inWait)
        {
            // The lost wake-up, in each of its forms.
            Assert.Equal(0, _queued);
            Assert.Equal(0, _canceled);
            Assert.False(Word.IsTokenFired);
            Assert.False(_ended);
            Assert.False(_done);
            return;
        }

        Assert.True(_done);
        Assert.False(Word.IsTokenFired, "The token of this wait would end the next one.");
        Assert.True(_received > 0 || _toldCanceled || _toldToken || _toldEnd, "The read ended for no reason.");
        Assert.True(_queued == 0 || Word.IsReady || _ended, "The next read would not look at what is queued.");
        Assert.True(_canceled == 0 || _toldCanceled || Word.IsCanceled, "A cancellation was lost.");
        Assert.False(_toldCanceled && _canceled == 1 && Word.IsCanceled, "One cancellation would end two reads.");
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
