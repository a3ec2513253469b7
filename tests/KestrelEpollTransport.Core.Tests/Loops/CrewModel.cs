using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Tests.Loops;

/// <summary>Who takes part.</summary>
internal readonly record struct Setup()
{
    /// <summary>Threads that drive the loop from the beginning.</summary>
    public int Drivers { get; init; }

    /// <summary>Events that the kernel tells, one after the other.</summary>
    public int Ready { get; init; }

    public int Posts { get; init; }

    /// <summary>Threads that are called because a pass is late.</summary>
    public int Calls { get; init; }

    /// <summary>Threads that are called, and refused.</summary>
    public int RefusedCalls { get; init; }

    /// <summary>At some moment, others want the processors.</summary>
    public bool IsCrowded { get; init; }

    public bool Stops { get; init; }

    /// <summary>The wait that is told of an event fails.</summary>
    public bool FailsPoll { get; init; }

    public CrewFault Fault { get; init; }
}

internal enum CrewFault
{
    None,
    PollsAfterTheStop,
    LeavesBesideNobody,
    KeepsTheRightOfABrokenPoller,
    FreesTheRightOfABrokenPoller,
    ForgetsThatItWasTheLast,
    LooksOnceBeforeItSleeps,
    FreesTheRightBeforeItPublishes,
    DeclinesAsTheLast,
    EndsTheCallBeforeItLeaves,
}

/// <summary><see cref="EventLoop"/> in steps, with its own words: what is read, changed and left between two steps is what another thread sees.</summary>
internal sealed class CrewModel
{
    private readonly Setup _setup;
    private Crew _crew;
    private SharedPass _pass = new();
    private int _ready;
    private int _posted;
    private int _given = -1;
    private bool _isCrowded;
    private bool _isBroken;
    private int _ran;
    private int _ranPosts;
    private int _inPoller;
    private int _ends;
    private bool _wakePending;

    public CrewModel(Setup setup, int seats)
    {
        _setup = setup;
        _crew = new Crew(seats);
        for (int i = 1; i < setup.Drivers; i++)
        {
            Assert.True(_crew.TryCall(out int seat));
            _crew.Come();
            Assert.Equal(i, seat);
        }
    }

    private bool EndsLoop => _setup.Stops || _setup.FailsPoll;

    public void Check()
    {
        // A loop that is stopped may drop what it was told; posted work runs, on the pool if need be.
        Assert.InRange(_ran, EndsLoop ? 0 : _setup.Ready, _setup.Ready);
        Assert.Equal(_setup.Posts, _ranPosts);
        Assert.Equal(EndsLoop ? 1 : 0, _ends);
        Assert.Equal(EndsLoop ? 0 : 1, _inPoller);
        Assert.Equal(!EndsLoop, _crew.IsPolled);
        Assert.Equal(!EndsLoop, _crew.IsAtRest);
        Assert.Equal(EndsLoop ? 0 : 1, _crew.Count);
    }

    // As EventLoop.OnDrive.
    public IEnumerable<Step> Drive(int seat, bool mayDecline = false)
    {
        while (true)
        {
            yield return "stopping?";
            if (_crew.IsStopping)
            {
                break;
            }

            if (mayDecline && _isCrowded)
            {
                yield return "TryDecline";
                bool declines = _setup.Fault == CrewFault.DeclinesAsTheLast ? !_crew.IsStopping && !_crew.Leave(seat) : _crew.TryLeave(seat, declines: true);
                if (declines)
                {
                    yield break;
                }
            }

            while (true)
            {
                yield return "take an event";
                if (!_pass.TryTake(out _, out _, out _))
                {
                    break;
                }

                yield return "dispatch";
                _ran++;
            }

            while (true)
            {
                yield return "take posted work";
                if (_posted == 0)
                {
                    break;
                }

                _posted--;
                _ranPosts++;
            }

            yield return "TryBeginPoll";
            bool begins = _crew.TryBeginPoll() || (_setup.Fault == CrewFault.PollsAfterTheStop && _crew.IsStopping && !_crew.IsPolled);
            if (begins)
            {
                foreach (Step step in Poll())
                {
                    yield return step;
                }

                continue;
            }

            yield return "TryLeave";
            bool leaves = _setup.Fault == CrewFault.LeavesBesideNobody ? !_crew.Leave(seat) : _crew.TryLeave(seat, declines: false);
            if (leaves)
            {
                yield break;
            }
        }

        foreach (Step step in Leave(seat))
        {
            yield return step;
        }
    }

    // As EventLoop.TryCall.
    public IEnumerable<Step> Call(bool isRefused)
    {
        yield return "TryCall";
        if (!_crew.TryCall(out int seat))
        {
            yield break;
        }

        if (!isRefused)
        {
            yield return "give";
            _given = seat;
            yield break;
        }

        if (_setup.Fault == CrewFault.EndsTheCallBeforeItLeaves)
        {
            yield return "Come, for nobody";
            _crew.Come();
        }

        foreach (Step step in Leave(seat, isRefused: true))
        {
            yield return step;
        }
    }

    public IEnumerable<Step> Come()
    {
        yield return new Step("comes", () => _given >= 0, MayStay: true);
        int seat = _given;
        _given = -1;
        yield return "Come";
        _crew.Come();
        foreach (Step step in Drive(seat, mayDecline: true))
        {
            yield return step;
        }
    }

    public IEnumerable<Step> MakeReady()
    {
        for (int i = 0; i < _setup.Ready; i++)
        {
            yield return "an event";
            _ready++;
        }
    }

    // As EventLoop.Post.
    public IEnumerable<Step> Post()
    {
        yield return "enqueue";
        _posted++;
        yield return "TryTakeWake";
        if (_crew.TryTakeWake())
        {
            yield return "wake";
            _wakePending = true;
        }

        yield return "ended?";
        if (_ends > 0)
        {
            MoveWorkToPool();
        }
    }

    public IEnumerable<Step> Crowd()
    {
        yield return "a crowd";
        _isCrowded = true;
    }

    // As EventLoop.Stop.
    public IEnumerable<Step> Stop()
    {
        yield return "stop";
        _crew.Stop();
        yield return "wake";
        _wakePending = true;
    }

    // As EventLoop.Poll.
    private IEnumerable<Step> Poll()
    {
        yield return "is the pass over?";
        if (_pass.IsOver)
        {
            bool sleeps = false;
            yield return "posted?";
            if (_posted == 0)
            {
                yield return "BeginSleep";
                _crew.BeginSleep();
                yield return "posted, now?";
                sleeps = _posted == 0 || _setup.Fault == CrewFault.LooksOnceBeforeItSleeps;
            }

            Assert.Equal(1, ++_inPoller);
            Assert.Equal(0, _ends);
            Assert.False(_isBroken, "Somebody waits in a poller that is broken.");
            yield return new Step("the wait returns", () => !sleeps || _ready > 0 || _wakePending, MayStay: true);
            _inPoller--;
            _wakePending = false;
            if (_setup.FailsPoll && _ready > 0)
            {
                _isBroken = true;
                if (_setup.Fault == CrewFault.FreesTheRightOfABrokenPoller)
                {
                    _crew.EndPoll();
                }

                foreach (Step step in Stop())
                {
                    yield return step;
                }

                if (_setup.Fault != CrewFault.KeepsTheRightOfABrokenPoller)
                {
                    yield return "EndPoll, broken";
                    _crew.EndPoll();
                }
                else
                {
                    // What it was before there was one word for all: the right is still held, and others may go.
                    yield return "wait for others to go";
                }

                yield break;
            }

            int told = _ready;
            _ready = 0;
            if (_setup.Fault == CrewFault.FreesTheRightBeforeItPublishes)
            {
                _crew.EndPoll();
            }

            yield return "publish";
            _pass.Publish(told);
        }

        yield return "EndPoll";
        _crew.EndPoll();
    }

    private IEnumerable<Step> Leave(int seat, bool isRefused = false)
    {
        yield return "Leave";
        if (_crew.Leave(seat, isRefused) && _setup.Fault != CrewFault.ForgetsThatItWasTheLast)
        {
            yield return "End";
            _ends++;
            MoveWorkToPool();
            Assert.Equal(0, _inPoller);
        }
    }

    private void MoveWorkToPool()
    {
        _ranPosts += _posted;
        _posted = 0;
    }
}
