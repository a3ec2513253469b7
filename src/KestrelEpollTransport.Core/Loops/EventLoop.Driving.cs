using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Loops;

/// <content>For the threads that drive the loop: take of the pass, run what was posted, poll.</content>
internal sealed partial class EventLoop
{
    // Who holds the right to poll.
    private int _eventCount;
    private BriefPoll _brief;

    // Written by who holds it, before it publishes the pass.
    private long _passBegan = Stopwatch.GetTimestamp();
    private long _readySince;
    private LoopTotals _totals;

    // Who drives alone. Hints.
    private int _registeredBefore;
    private LoopYield _yield;

    private bool IsCrowded => _settings.Machine is { IsCrowded: true };

    /// <summary>Drives the loop until it is stopped or others suffice (true), or the seat was taken while a dispatch was stuck (false).</summary>
    public bool OnDrive(Seat seat, in ThreadBaseline baseline)
    {
        if (seat.IsCalled)
        {
            seat.IsCalled = false;
            _crew.Come();
            _callDelay.NoteCame(inVain: IsCrowded, _time);
        }

        seat.Take();
        bool hasPolled = false;
        try
        {
            while (!_crew.IsStopping)
            {
                _settings.OnAwake?.Invoke();

                // Not what it has published itself: the others may be in dispatches that take long.
                if (!hasPolled && seat.MayDecline && !_crew.IsAlone && IsCrowded && TryLeave(seat, declines: true))
                {
                    _settings.Machine!.Relieve();
                    return true;
                }

                hasPolled = false;
                if (!TryFinishPass(seat, baseline))
                {
                    return false;
                }

                if (_crew.IsAlone)
                {
                    GiveWay();
                }

                if (_crew.TryBeginPoll())
                {
                    // A loop that sleeps keeps nothing of the application's alive.
                    seat.Forget();
                    Poll();
                    hasPolled = true;
                }
                else if (TryLeave(seat, declines: false))
                {
                    return true;
                }
            }
        }
#pragma warning disable CA1031 // The poller itself is broken. The process lives on, this loop's connections don't.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            // First, as nobody is to wait in a poller that is broken; and what is posted goes to the pool before a logger may wait for it.
            Stop();
            _crew.EndPoll();
            GiveUp();
            EndHandlers(exception);
            LoopLog.Died(_logger, Index, exception);
            baseline.Restore();
        }

        seat.Give();
        Leave(seat);
        return true;
    }

    // What is left of the pass, and what was posted or due by then. False: the seat was taken.
    private bool TryFinishPass(Seat seat, in ThreadBaseline baseline)
    {
        while (_pass.TryTake(out PollEvent ready, out int taken, out int left))
        {
            // A wake, or an event of a registration that ended while it was on its way, has no handler.
            if (_handlers.TryGet(ready.Token, out ILoopHandler? handler) && !seat.TryDispatch(handler, ready.Readiness, work: null, baseline))
            {
                return false;
            }

            CallIfLate(Volatile.Read(ref _passBegan), taken, left);
        }

        // Counted before: work that posts work, and timers that set others, would never let the pass end.
        _timers.MoveTo(_posted);
        int count = _posted.Count;
        long began = count > 1 ? _time.GetTimestamp() : 0;
        for (int taken = 1; taken <= count && _posted.TryDequeue(out ILoopWork? work); taken++)
        {
            if (!seat.TryDispatch(handler: null, default, work, baseline))
            {
                return false;
            }

            CallIfLate(began, taken, count - taken);
        }

        return true;
    }

    // Calls another thread where this one has taken long, and what is left will.
    private void CallIfLate(long began, int taken, int left)
    {
        if (left == 0 || _crew.Count >= _settings.Drivers || _crew.IsCalled)
        {
            return;
        }

        TimeSpan elapsed = _time.GetElapsedTime(began);
        if (elapsed > _settings.CallAfter)
        {
            TimeSpan delay = _callDelay.Get(_time);
            if (elapsed > delay && elapsed * left / taken >= delay)
            {
                TryCall(isNeeded: false);
            }
        }
    }

    // Who only came to share a pass declines where a processor is wanted more by somebody else: by who answers, and who asks.
    private bool TryLeave(Seat seat, bool declines)
    {
        // First: whoever joins next may be given this seat.
        seat.Give();
        if (_crew.TryLeave(seat.Index, declines))
        {
            return true;
        }

        seat.Take();
        return false;
    }

    // Holding the right to poll, which another thread may have used since this one looked.
    private void Poll()
    {
        if (_pass.IsOver)
        {
            long slept = WaitForEvents();
            long told = _time.GetTimestamp();
            _totals.OnTold(_eventCount, told);

            // It slept if it took longer than that: to tell each event takes a microsecond, too. Where there are more than it can tell it did not.
            bool hasSlept = slept != 0 && _eventCount < SharedPass.MaxEvents && told - slept > BriefPoll.Brief * (32 + _eventCount) / 32;
            Volatile.Write(ref _readySince, hasSlept ? told : _passBegan);
            Volatile.Write(ref _passBegan, told);
            _pass.Publish(_eventCount);
        }

        _crew.EndPoll();
    }

    // Since when it may have slept, if nothing was ready; 0: it did not.
    private long WaitForEvents()
    {
        // Beside others that compute it would take a processor from them.
        long brief = _crew.IsAlone ? _brief.Ticks : 0;
        if (brief > 0 && TryPollFor(brief))
        {
            return 0;
        }

        long began = 0;
        int timeoutMs = 0;
        if (_posted.IsEmpty)
        {
            // Who has polled before noted the time of it.
            began = brief > 0 ? _passBegan : _time.GetTimestamp();

            // After this both once more: what came before it woke nobody. The timers first: what is due moves from there to the queue.
            _crew.BeginSleep();
            timeoutMs = _timers.GetTimeoutMs();
            timeoutMs = _posted.IsEmpty ? timeoutMs : 0;
            began = timeoutMs == 0 ? 0 : began;
        }

        _totals.OnIdle(began);
        _eventCount = _poller.Wait(_pass.Events, timeoutMs);
        if (brief == 0 && began != 0)
        {
            _brief.NoteSleep(_time.GetTimestamp() - began);
        }

        return began;
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

    // True: there is something to do. It does not sleep meanwhile, so that who posts does not wake it.
    private bool TryPollFor(long ticks)
    {
        long start = Stopwatch.GetTimestamp();
        _totals.OnIdle(start);
        bool found;
        long elapsed;
        do
        {
            _eventCount = _poller.Wait(_pass.Events, timeoutMs: 0);
            found = _eventCount > 0 || _timers.GetTimeoutMs() == 0 || !_posted.IsEmpty;
            elapsed = Stopwatch.GetTimestamp() - start;
            _passBegan = found ? _passBegan : start + elapsed;
        }
        while (!found && elapsed < ticks);

        // Who lost its processor meanwhile took one that others want.
        _brief.NotePoll(found && elapsed < 2 * ticks);
        return found;
    }

    // The last act of the driving thread: what is left to run goes to the thread pool, and the poller is closed.
    private void End()
    {
        GiveUp();

        // Here, because only this thread knows that nobody waits in it. Who disposes may be this very thread, deep in a
        // dispatch, or may have stopped waiting for one that application code holds.
        _poller.Dispose();
        _endedEvent.Set();
    }
}
