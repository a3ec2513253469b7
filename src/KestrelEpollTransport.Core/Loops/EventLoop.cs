using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// One event loop: a poller, what it told last, the work that was posted, the timers and the handlers. It is
/// the state only; a thread drives it, one pass after the other, and another thread may take it over.
/// </summary>
/// <remarks>
/// A pass waits, dispatches what is ready, then runs the work that was posted before that and the timers that are due.
/// All of it is bounded, so what keeps posting itself (a connection that floods) yields to everything that became
/// ready meanwhile.
/// <para>Each event, each piece of work and each timer is a dispatch of its own: it may enter application code (a handler, a
/// logger, a memory pool), and a thread that is stuck there can lose the loop, <see cref="LoopOwnership"/>. The next
/// thread goes on with the rest of the same pass.</para>
/// <para><see cref="OnDrive"/> is for the thread that drives the loop; the rest is for any thread.</para>
/// </remarks>
internal sealed class EventLoop : IDisposable
{
    /// <summary>The most events that one wait returns.</summary>
    private const int BatchSize = 256;

    /// <summary>Of <see cref="_postedLeft"/>: the events of this pass come first.</summary>
    private const int NotCounted = -1;

    // Immutable.
    private readonly Poller _poller;
    private readonly ILogger _logger;
    private readonly ILoopObserver? _observer;
    private readonly long _spinTicks;
    private readonly HandlerTable _handlers = new();

    // Any thread.
    private readonly UninterruptedQueue<ILoopWork> _posted = new();
    private readonly LoopTimers _timers = new();
    private readonly ManualResetEvent _endedEvent = new(initialState: false);
    private LoopOwnership _ownership;
    private WakeGate _gate;
    private int _load;
    private int _registered;
    private volatile bool _refusing;
    private volatile bool _stopping;
    private volatile bool _ended;

    // The driver only, and never while it dispatches.
    private readonly PollEvent[] _events = new PollEvent[BatchSize];
    private int _eventCount;
    private int _eventCursor;
    private int _postedLeft;
    private long _dueMs;
    private int _registeredBefore;
    private LoopYield _yield;
    private IDispatched? _dispatched;
    private volatile int _driver;
    private volatile KernelThread? _driverThread;

    /// <param name="index">Its position in its group.</param>
    /// <param name="poller">Its own, to dispose.</param>
    /// <param name="logger">For broken invariants.</param>
    /// <param name="observer">Told whenever the loop wakes up.</param>
    /// <param name="spin">How long to poll before sleeping.</param>
    public EventLoop(int index, Poller poller, ILogger logger, ILoopObserver? observer = null, TimeSpan spin = default)
    {
        Index = index;
        Name = $"epoll loop {index}";
        _poller = poller;
        _logger = logger;
        _observer = observer;
        _spinTicks = (long)(spin.TotalSeconds * Stopwatch.Frequency);
    }

    /// <summary>The position of this loop in its group.</summary>
    public int Index { get; }

    /// <summary>What the thread that drives the loop is called.</summary>
    public string Name { get; }

    /// <summary>See <see cref="Poller.SharesListeners"/>.</summary>
    public bool SharesListeners => _poller.SharesListeners;

    /// <summary>How many connections live here: what balancing compares. A hint.</summary>
    public int Load => Volatile.Read(ref _load);

    /// <summary>All handlers of this moment, for looking only.</summary>
    public ILoopHandler[] Handlers => _handlers.Snapshot();

    /// <summary>Whether the calling thread drives this loop. It may have lost it by the time it looks at the answer.</summary>
    public bool IsDriver => _driver == Environment.CurrentManagedThreadId;

    /// <summary>Whether the driving thread runs, or would if it had a processor; false: blocked, or not known.</summary>
    public bool IsDriverRunnable => IsDriverRunning == true;

    /// <summary>The same; null: not known.</summary>
    public bool? IsDriverRunning => _driverThread?.IsRunnable();

    /// <summary>Whether it was stopped, and the thread pool runs what it left; its thread may still be held by a dispatch.</summary>
    public bool HasEnded => _ended;

    /// <summary>Whether registering fails: it has ended, or is about to.</summary>
    public bool IsRefusing => _refusing;

    /// <summary>Whether it waits for nothing at this moment.</summary>
    public bool IsAwake => _gate.IsAwake;

    /// <summary>How many events its waits have told so far. For its dispatches.</summary>
    public long EventsTold { get; private set; }

    /// <summary>The dispatch that runs at this moment; 0: none. For <see cref="TryTake"/>.</summary>
    public long CurrentDispatch => _ownership.Current;

    public void AddLoad(int change) => Interlocked.Add(ref _load, change);

    /// <summary>Registers a descriptor; its first readiness may be told before this returns.</summary>
    public IoResult Register(ILoopHandler handler, int descriptor, Interest interest)
    {
        // A hint: one that gets lost matters nothing.
        _registered++;
        return Register(handler, descriptor, interest, isShared: false);
    }

    /// <summary>Registers a listening descriptor that other loops have registered too.</summary>
    public IoResult RegisterShared(ILoopHandler handler, int descriptor) =>
        Register(handler, descriptor, Interest.Read, isShared: true);

    public IoResult Modify(ILoopHandler handler, int descriptor, Interest interest) =>
        _poller.Modify(descriptor, interest, handler.Token);

    /// <summary>Ends a registration: the token first, so that whoever gets the number next never sees our events.</summary>
    public void Deregister(ILoopHandler handler, int descriptor)
    {
        _handlers.Remove(handler);
        // An error means that the registration is gone already, as after a failed Register.
        _ = _poller.Deregister(descriptor);
    }

    /// <summary>
    /// Ends what a handler is told. For a descriptor that is closed next and has no duplicate: closing then ends the
    /// registration, for one system call less.
    /// </summary>
    public void Retire(ILoopHandler handler) => _handlers.Remove(handler);

    /// <summary>
    /// Queues work for the loop's thread, behind what was queued before; wakes the loop if it sleeps. On a loop
    /// that has ended the thread pool runs it.
    /// </summary>
    public void Post(ILoopWork work)
    {
        _posted.Enqueue(work);
        WakeIfAsleep();
    }

    /// <summary>Runs <paramref name="work"/> on this loop in <paramref name="delayMs"/> milliseconds or a little later.</summary>
    public void Schedule(ILoopWork work, int delayMs)
    {
        _timers.Add(work, delayMs);
        WakeIfAsleep();
    }

    /// <summary>
    /// The last handlers of this loop: registering fails from now on. Adding looks at the flag after the table's lock,
    /// and this takes that lock after the flag, so who is not among these is refused, and waits for nothing.
    /// </summary>
    public ILoopHandler[] RefuseFurtherHandlers()
    {
        _refusing = true;
        return _handlers.Snapshot();
    }

    /// <summary>Makes <see cref="OnDrive"/> return, soon.</summary>
    public void Stop()
    {
        _stopping = true;
        _poller.Wake();
    }

    /// <summary>
    /// Waits until a stopped loop has ended; false if it did not in time. A thread does not wait for the end of a loop
    /// that it drives.
    /// </summary>
    public bool WaitForEnd(TimeSpan timeout) =>
        !IsDriver && Uninterrupted.Wait(_endedEvent, timeout, static (ended, left) => ended.WaitOne(left));

    /// <summary>
    /// For a stopped loop that did not end in time: the thread pool runs what is posted, before it and from now on. What holds
    /// the loop's thread may wait for just that, and nobody will take the loop over any more.
    /// </summary>
    public void GiveUp()
    {
        _ended = true;
        Interlocked.MemoryBarrier();
        MoveWorkToPool();
    }

    /// <summary>
    /// Takes the loop from the thread that is stuck in <paramref name="dispatch"/>. True: the caller has to give it to
    /// another one, which calls <see cref="OnDrive"/>.
    /// </summary>
    /// <param name="dispatch">What <see cref="CurrentDispatch"/> was.</param>
    /// <param name="dispatched">What the thread is stuck in.</param>
    public bool TryTake(long dispatch, out IDispatched? dispatched)
    {
        bool taken = _ownership.TryTake(dispatch);
        dispatched = taken ? _dispatched : null;
        return taken;
    }

    /// <summary><see cref="IDispatched.TryFailOwnWait"/> of a dispatch; what is posted may be what ends the wait, and the thread pool runs it.</summary>
    public void FailOwnWait(long dispatch)
    {
        if (_dispatched is { } dispatched && CurrentDispatch == dispatch && dispatched.TryFailOwnWait())
        {
            MoveWorkToPool(timersToo: false);
        }
    }

    /// <summary>Drives the loop until it is stopped (true) or, while a dispatch was stuck, was taken over (false).</summary>
    public bool OnDrive(in ThreadBaseline baseline)
    {
        _driver = Environment.CurrentManagedThreadId;
        _driverThread = KernelThread.Current;
        try
        {
            while (!_stopping)
            {
                if (!TryFinishPass(baseline))
                {
                    return false;
                }

                Wait();
            }
        }
#pragma warning disable CA1031 // The poller itself is broken. The process lives on, this loop's connections don't.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            LoopLog.Died(_logger, Index, exception);
            foreach (ILoopHandler handler in RefuseFurtherHandlers())
            {
                TellFault(handler, exception);
            }
        }

        End();
        return true;
    }

    /// <summary>Has a handler end what it stands for, with the loop. What it throws is logged.</summary>
    public void Abandon(ILoopHandler handler)
    {
        try
        {
            handler.Abandon();
        }
#pragma warning disable CA1031 // As in TryDispatch: the others are to be abandoned too.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            LoopLog.Faulted(_logger, Index, exception);
        }
    }

    /// <summary>Closes the poller of a loop that no thread has driven.</summary>
    public void Dispose() => _poller.Dispose();

    // Never throws: who registers is in the middle of starting a connection, or of arming a listener.
    private IoResult Register(ILoopHandler handler, int descriptor, Interest interest, bool isShared)
    {
        IoResult result;
        try
        {
            _handlers.Add(handler);
            result = _refusing ? IoResult.Failure(Errno.EBADF)
                : isShared ? _poller.RegisterShared(descriptor, handler.Token)
                : _poller.Register(descriptor, interest, handler.Token);
        }
#pragma warning disable CA1031 // Memory that ran out, or a broken invariant of the poller: one registration's.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            // By the pool: loggers may block, and whoever registers may hold a lock.
            Uninterrupted.QueueToPool(new FaultReport(_logger, Index, exception));
            result = IoResult.Failure(Errno.EFAULT);
        }

        if (result.IsError)
        {
            _handlers.Remove(handler);
        }

        return result;
    }

    private void WakeIfAsleep()
    {
        if (_gate.TryTakeWake())
        {
            _poller.Wake();
        }

        // TryTakeWake has fenced: either this sees the end, or the end sees the work.
        if (_ended)
        {
            MoveWorkToPool();
        }
    }

    private void Wait()
    {
        WaitForEvents();
        EventsTold += _eventCount;
    }

    private void WaitForEvents()
    {
        GiveWay();
        _dispatched = null;
        _eventCursor = 0;
        _postedLeft = NotCounted;
        if (_spinTicks > 0 && TrySpin())
        {
            // It did not sleep; but perhaps it never has, and the observer does not know of it yet.
            _observer?.OnLoopAwake();
            return;
        }

        int timeoutMs = 0;
        if (_posted.IsEmpty)
        {
            // After the gate, both once more: what came before it woke nobody.
            _gate.BeginSleep();
            timeoutMs = _posted.IsEmpty ? _timers.GetTimeoutMs() : 0;
        }

        _eventCount = _poller.Wait(_events, timeoutMs);
        _gate.EndSleep();
        _observer?.OnLoopAwake();
    }

    private void GiveWay()
    {
        // With new connections it goes on to those that wait behind them: the thread pool, which starts them, has time then.
        int registered = _registered;
        bool isSettled = registered == _registeredBefore;
        _registeredBefore = registered;
        long now = Stopwatch.GetTimestamp();
        if (isSettled && _yield.IsDue(_eventCount, now))
        {
            Thread.Yield();
            _yield.OnBack(now, Stopwatch.GetTimestamp());
        }
    }

    // True: there is something to do. The gate says awake meanwhile, so that who posts does not wake us.
    private bool TrySpin()
    {
        long start = Stopwatch.GetTimestamp();
        do
        {
            _eventCount = _poller.Wait(_events, timeoutMs: 0);
            if (_eventCount > 0 || !_posted.IsEmpty || _timers.GetTimeoutMs() == 0)
            {
                return true;
            }
        }
        while (Stopwatch.GetTimestamp() - start < _spinTicks);

        return false;
    }

    // What the wait told, what was posted until that was done, and what is due. False: taken over.
    private bool TryFinishPass(in ThreadBaseline baseline)
    {
        while (_eventCursor < _eventCount)
        {
            // A wake, or an event of a registration that ended while it was on its way, has no handler.
            PollEvent ready = _events[_eventCursor++];
            if (_handlers.TryGet(ready.Token, out ILoopHandler? handler) && !TryDispatch(handler, ready.Readiness, baseline))
            {
                return false;
            }
        }

        if (_postedLeft == NotCounted)
        {
            _postedLeft = _posted.Count;
            _dueMs = Environment.TickCount64;
        }

        while (_postedLeft > 0 && _posted.TryDequeue(out ILoopWork? work))
        {
            _postedLeft--;
            if (!TryRun(work, baseline))
            {
                return false;
            }
        }

        while (_timers.TakeDue(_dueMs) is { } due)
        {
            if (!TryRun(due, baseline))
            {
                return false;
            }
        }

        return true;
    }

    private bool TryDispatch(ILoopHandler handler, Readiness readiness, in ThreadBaseline baseline)
    {
        _dispatched = handler;
        long dispatch = _ownership.Begin();
        try
        {
            handler.OnReady(readiness);
        }
#pragma warning disable CA1031 // Nothing may pass through a loop: everyone else's connections live here too.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Fault(handler, exception);
        }

        baseline.Restore();
        return _ownership.TryEnd(dispatch);
    }

    private bool TryRun(ILoopWork work, in ThreadBaseline baseline)
    {
        _dispatched = work;
        long dispatch = _ownership.Begin();
        try
        {
            work.OnLoop();
        }
#pragma warning disable CA1031 // As in TryDispatch. Work closes what it belongs to by itself.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            LoopLog.Faulted(_logger, Index, exception);
        }

        baseline.Restore();
        return _ownership.TryEnd(dispatch);
    }

    private void Fault(ILoopHandler handler, Exception exception)
    {
        LoopLog.Faulted(_logger, Index, exception);
        TellFault(handler, exception);
    }

    private void TellFault(ILoopHandler handler, Exception exception)
    {
        try
        {
            handler.OnFault(exception);
        }
#pragma warning disable CA1031 // There is nothing left to close; the log has both.
        catch (Exception second)
#pragma warning restore CA1031
        {
            LoopLog.Faulted(_logger, Index, second);
        }
    }

    // The last act of the driving thread: what is left to run goes to the thread pool, and the poller is closed.
    private void End()
    {
        // The runtime gives the id of a thread that ended to another one.
        _driver = 0;
        GiveUp();

        // Here, because only this thread knows that nobody waits in it. Who disposes may be this very thread, deep in a
        // dispatch, or may have stopped waiting for one that application code holds.
        _poller.Dispose();
        _endedEvent.Set();
    }

    private void MoveWorkToPool(bool timersToo = true)
    {
        while (_posted.TryDequeue(out ILoopWork? work) || (timersToo && (work = _timers.TakeAny()) is not null))
        {
            Uninterrupted.QueueToPool(work);
        }
    }

    /// <summary>Logs what a poller threw.</summary>
    private sealed class FaultReport(ILogger logger, int loop, Exception exception) : IThreadPoolWorkItem
    {
        public void Execute() => LoopLog.Faulted(logger, loop, exception);
    }
}
