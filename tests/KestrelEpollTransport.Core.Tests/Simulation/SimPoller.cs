using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>A poller of a <see cref="SimMachine"/>: edges, one thread that waits, a wake that is told once.</summary>
internal sealed class SimPoller(SimMachine machine, long waitNs, long eventNs) : Poller
{
    private readonly Queue<Token> _ready = new();
    private SimThread? _waits;
    private bool _isDisposed;
    private bool _isInside;
    private bool _isBroken;

    /// <summary>Whether a thread is in <see cref="Wait"/>.</summary>
    public bool IsInside => _isInside;

    /// <summary>What the next wait throws.</summary>
    public Exception? Failure { get; set; }

    public override bool SharesListeners => true;

    /// <summary>Something became ready: a request, and not by a thread of the machine.</summary>
    public void BecomeReady(Token token)
    {
        _ready.Enqueue(token);
        if (_waits is { } waits)
        {
            _waits = null;
            machine.Wake(waits);
        }
    }

    public override IoResult Register(int descriptor, Interest interest, Token token) => default;

    public override IoResult RegisterShared(int descriptor, Token token) => default;

    public override IoResult Modify(int descriptor, Interest interest, Token token) => default;

    public override IoResult Deregister(int descriptor) => default;

    public override int Wait(Span<PollEvent> events, int timeoutMs)
    {
        if (_isDisposed || _isBroken || _isInside)
        {
            machine.Fail(_isDisposed ? "waits in a poller that is closed" : _isBroken ? "waits in a poller that is broken" : "two threads wait in one poller");
        }

        _isInside = true;
        try
        {
            return WaitInside(events, timeoutMs);
        }
        finally
        {
            _isInside = false;
        }
    }

    public override void Wake()
    {
        BecomeReady(Token.Wake);
        machine.Point();
    }

    public override void Dispose()
    {
        if (_isDisposed || _isInside)
        {
            machine.Fail(_isDisposed ? "closes a poller twice" : "closes a poller that a thread is in");
        }

        _isDisposed = true;
    }

    private int WaitInside(Span<PollEvent> events, int timeoutMs)
    {
        machine.Point();
        if (_ready.Count == 0 && timeoutMs != 0)
        {
            _waits = SimThread.Current;
            machine.Wait(timeoutMs < 0 ? Timeout.Infinite : timeoutMs * 1_000_000L);
            _waits = null;
        }

        if (Failure is { } failure)
        {
            _isBroken = true;
            throw failure;
        }

        int count = 0;
        while (count < events.Length && _ready.TryDequeue(out Token token))
        {
            events[count++] = new PollEvent(token, Readiness.Readable);
        }

        if (waitNs > 0)
        {
            machine.Compute(waitNs + (count * eventNs));
        }

        machine.Point();
        return count;
    }
}

/// <summary>What a simulated worker waits for.</summary>
internal sealed class SimSignal(SimMachine machine) : WorkerSignal
{
    private bool _isSet;
    private SimThread? _waits;

    /// <summary>Somebody may hold a lock here: no point.</summary>
    public override void Set()
    {
        _isSet = true;
        if (_waits is { } waits)
        {
            _waits = null;
            machine.Wake(waits);
        }
    }

    public override bool Wait(TimeSpan timeout)
    {
        machine.Point();
        if (!_isSet)
        {
            _waits = SimThread.Current;
            machine.Wait((long)timeout.TotalNanoseconds);
            _waits = null;
        }

        bool wasSet = _isSet;
        _isSet = false;
        return wasSet;
    }
}
