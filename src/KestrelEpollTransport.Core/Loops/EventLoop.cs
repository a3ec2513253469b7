using System.Collections.Concurrent;
using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// One event loop: a poller, what it told last, the work that was posted, the timers and the handlers. It is
/// the state only; a <see cref="LoopThread"/> drives it, one pass after the other.
/// </summary>
/// <remarks>
/// A pass waits, dispatches what is ready, then runs the work that was posted before the pass began and the
/// timers that are due. Both are bounded, so what keeps posting itself (a connection that floods) yields to
/// everything that became ready meanwhile.
/// <para><see cref="Post"/>, registration and <see cref="Stop"/> are for any thread. Methods named On… are for the
/// thread that drives the loop.</para>
/// </remarks>
internal sealed class EventLoop : IDisposable
{
    /// <summary>The most events that one wait returns.</summary>
    private const int BatchSize = 256;

    // Immutable.
    private readonly Poller _poller;
    private readonly ILogger _logger;
    private readonly HandlerTable _handlers = new();

    // Any thread.
    private readonly ConcurrentQueue<IThreadPoolWorkItem> _posted = new();
    private WakeGate _gate;
    private int _load;
    private volatile bool _refusing;
    private volatile bool _stopping;
    private volatile bool _ended;

    // The driver only.
    private readonly PollEvent[] _events = new PollEvent[BatchSize];
    private readonly PriorityQueue<IThreadPoolWorkItem, long> _timers = new();
    private int _eventCount;
    private int _eventCursor;
    private volatile int _driver;

    public EventLoop(int index, Poller poller, ILogger logger)
    {
        Index = index;
        _poller = poller;
        _logger = logger;
    }

    /// <summary>The position of this loop in its group.</summary>
    public int Index { get; }

    /// <summary>See <see cref="Poller.SharesListeners"/>.</summary>
    public bool SharesListeners => _poller.SharesListeners;

    /// <summary>How many connections live here: what balancing compares. A hint.</summary>
    public int Load => Volatile.Read(ref _load);

    /// <summary>All handlers of this moment, for looking only.</summary>
    public ILoopHandler[] Handlers => _handlers.Snapshot();

    /// <summary>Whether the calling thread drives this loop.</summary>
    public bool IsDriver => _driver == Environment.CurrentManagedThreadId;

    public void AddLoad(int change) => Interlocked.Add(ref _load, change);

    /// <summary>Registers a descriptor; its first readiness may be told before this returns.</summary>
    public IoResult Register(ILoopHandler handler, int descriptor, Interest interest)
    {
        _handlers.Add(handler);
        IoResult result = _refusing ? IoResult.Failure(Errno.EBADF) : _poller.Register(descriptor, interest, handler.Token);
        if (result.IsError)
        {
            _handlers.Remove(handler);
        }

        return result;
    }

    /// <summary>Registers a listening descriptor that other loops have registered too.</summary>
    public IoResult RegisterShared(ILoopHandler handler, int descriptor)
    {
        _handlers.Add(handler);
        IoResult result = _refusing ? IoResult.Failure(Errno.EBADF) : _poller.RegisterShared(descriptor, handler.Token);
        if (result.IsError)
        {
            _handlers.Remove(handler);
        }

        return result;
    }

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
    /// Queues work for the loop's thread, behind what was queued before; wakes the loop if it sleeps. On a loop
    /// that has ended the thread pool runs it.
    /// </summary>
    public void Post(IThreadPoolWorkItem work)
    {
        _posted.Enqueue(work);
        if (_gate.TryTakeWake())
        {
            _poller.Wake();
        }

        // TryTakeWake has fenced: either this sees the end, or the end sees the work.
        if (_ended)
        {
            MovePostedToPool();
        }
    }

    /// <summary>Runs <paramref name="work"/> on this loop in <paramref name="delayMs"/> milliseconds or a little later.</summary>
    public void OnSchedule(IThreadPoolWorkItem work, int delayMs)
    {
        Debug.Assert(IsDriver, "Timers belong to the thread that drives the loop.");
        _timers.Enqueue(work, Environment.TickCount64 + delayMs);
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

    /// <summary>Makes <see cref="OnRunPass"/> return false, soon.</summary>
    public void Stop()
    {
        _stopping = true;
        _poller.Wake();
    }

    /// <summary>The calling thread drives the loop from now on.</summary>
    public void OnDriven() => _driver = Environment.CurrentManagedThreadId;

    /// <summary>One pass. False once the loop was stopped.</summary>
    public bool OnRunPass(in ThreadBaseline baseline)
    {
        if (_stopping)
        {
            return false;
        }

        int timeoutMs = PrepareWait();
        _eventCursor = 0;
        _eventCount = _poller.Wait(_events, timeoutMs);
        _gate.EndSleep();

        while (_eventCursor < _eventCount)
        {
            DispatchEvent(_events[_eventCursor++]);
            baseline.Restore();
        }

        for (int remaining = _posted.Count; remaining > 0 && _posted.TryDequeue(out IThreadPoolWorkItem? work); remaining--)
        {
            Run(work);
            baseline.Restore();
        }

        RunDueTimers(baseline);
        return true;
    }

    /// <summary>The last act of the driving thread: what is left to run goes to the thread pool, and the poller is closed.</summary>
    public void OnEnded()
    {
        // The runtime gives the id of a thread that ended to another one.
        _driver = 0;
        _ended = true;
        Interlocked.MemoryBarrier();
        MovePostedToPool();
        while (_timers.TryDequeue(out IThreadPoolWorkItem? work, out _))
        {
            ThreadPool.UnsafeQueueUserWorkItem(work, preferLocal: false);
        }

        // Here, because only this thread knows that nobody waits in it. Who disposes may be this very thread, deep in a
        // dispatch, or may have stopped waiting for one that application code holds.
        _poller.Dispose();
    }

    /// <summary>Closes the poller of a loop that no thread has driven.</summary>
    public void Dispose() => _poller.Dispose();

    private int PrepareWait()
    {
        if (!_posted.IsEmpty)
        {
            return 0;
        }

        int timeoutMs = -1;
        if (_timers.TryPeek(out _, out long dueMs))
        {
            timeoutMs = (int)Math.Clamp(dueMs - Environment.TickCount64, 0, int.MaxValue);
        }

        _gate.BeginSleep();
        if (_posted.IsEmpty)
        {
            return timeoutMs;
        }

        _gate.EndSleep();
        return 0;
    }

    private void DispatchEvent(PollEvent ready)
    {
        if (!_handlers.TryGet(ready.Token, out ILoopHandler? handler))
        {
            // A wake, or an event of a registration that ended while it was on its way.
            return;
        }

        try
        {
            handler.OnReady(ready.Readiness);
        }
#pragma warning disable CA1031 // Nothing may pass through a loop: everyone else's connections live here too.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Fault(handler, exception);
        }
    }

    private void Run(IThreadPoolWorkItem work)
    {
        try
        {
            work.Execute();
        }
#pragma warning disable CA1031 // As in DispatchEvent. Work closes what it belongs to by itself.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            LoopLog.Faulted(_logger, Index, exception);
        }
    }

    private void RunDueTimers(in ThreadBaseline baseline)
    {
        if (_timers.Count == 0)
        {
            return;
        }

        long nowMs = Environment.TickCount64;
        while (_timers.TryPeek(out IThreadPoolWorkItem? work, out long dueMs) && dueMs <= nowMs)
        {
            _timers.Dequeue();
            Run(work);
            baseline.Restore();
        }
    }

    private void Fault(ILoopHandler handler, Exception exception)
    {
        LoopLog.Faulted(_logger, Index, exception);
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

    private void MovePostedToPool()
    {
        while (_posted.TryDequeue(out IThreadPoolWorkItem? work))
        {
            ThreadPool.UnsafeQueueUserWorkItem(work, preferLocal: false);
        }
    }
}
