using System.Diagnostics;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// One event loop: a poller, what it told last, the work that was posted, the timers and the handlers. It is
/// the state only: threads drive it, as many as it has seats, and others may take over from them.
/// </summary>
/// <remarks>
/// <para><b>A pass</b> is what one wait told. Each thread that drives the loop takes events from it, one after the other; when none is
/// left it runs the work that was posted or due by then. Then one of them polls, and the others leave. All of it is
/// bounded, so what keeps posting itself (a connection that floods) yields to everything that became ready meanwhile.</para>
/// <para><see cref="OnDrive"/> is for the threads that drive the loop; the rest is for any thread.</para>
/// </remarks>
internal sealed partial class EventLoop : IDisposable
{
    // Immutable.
    private readonly Poller _poller;
    private readonly ILogger _logger;
    private readonly Action<Seat> _drive;
    private readonly LoopSettings _settings;
    private readonly Seat[] _seats;
    private readonly HandlerTable _handlers = new();

    // Any thread.
    private readonly UninterruptedQueue<ILoopWork> _posted = new();
    private readonly TimeProvider _time;
    private readonly LoopTimers _timers;
    private readonly ManualResetEvent _endedEvent = new(initialState: false);
    private SharedPass _pass = new();
    private Crew _crew;
    private CallDelay _callDelay;
    private int _load;
    private int _registered;
    private volatile bool _refusing;
    private volatile bool _ended;

    /// <summary>
    /// A loop that owns its poller. Its threads are found by <paramref name="drive"/>, which has one call <see cref="OnDrive"/> from a seat
    /// that was taken for it, and throws <see cref="OutOfMemoryException"/> where no thread could be started.
    /// </summary>
    public EventLoop(int index, Poller poller, ILogger logger, Action<Seat> drive, LoopSettings? settings = null)
    {
        Index = index;
        Name = $"epoll loop {index}";
        _poller = poller;
        _logger = logger;
        _drive = drive;
        _settings = settings ?? new LoopSettings();
        _time = _settings.Time;

        // One more, for who is called while all others are in dispatches that take unexpectedly long.
        int seats = _settings.Drivers + 1;
        _crew = new Crew(seats);
        _seats = [.. Enumerable.Range(0, seats).Select(seat => new Seat(this, seat, logger))];
        _timers = new LoopTimers(_time);
        _callDelay = new CallDelay(_settings.CallAfter);
        _brief = new BriefPoll(_settings.Spin is { } spin ? (long)(spin.TotalSeconds * Stopwatch.Frequency) : null);
    }

    /// <summary>Drives the loop of the seat on a thread of its own, until it ends.</summary>
    public static void DriveOnThread(Seat seat)
    {
        // Background: a process that forgets to dispose still ends. The default stack size: handlers run here and may be as deep as on the thread
        // pool. Without AsyncLocals: a loop outlives the request that happened to start it.
        Uninterrupted.Start(new Thread(() => seat.Loop.OnDrive(seat, ThreadBaseline.Capture())) { IsBackground = true, Name = seat.Loop.Name });
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
    public ILoopHandler[] Handlers => _handlers.Look();

    /// <summary>The places of its threads.</summary>
    public ReadOnlySpan<Seat> Seats => _seats;

    /// <summary>Whether the calling thread drives this loop. It may have lost its seat by the time it looks at the answer.</summary>
    public bool IsDriver => Array.Exists(_seats, static seat => seat.IsMine);

    /// <summary>Which of the seats are taken, and whether somebody polls: what becomes ready waits for nobody then. For looking only.</summary>
    public ref readonly Crew Crew => ref _crew;

    /// <summary>Whether it was stopped, and the thread pool runs what it left; its thread may still be held by a dispatch.</summary>
    public bool HasEnded => _ended;

    /// <summary>Whether registering fails: it has ended, or is about to.</summary>
    public bool IsRefusing => _refusing;

    /// <summary>Whether somebody works here at this moment, or is about to.</summary>
    public bool IsAwake => !_crew.IsAtRest;

    /// <summary>What its waits have told so far, and how long it was busy. For looking only.</summary>
    public ref readonly LoopTotals Totals => ref _totals;

    /// <summary>How many pieces of posted work wait.</summary>
    public int Posted => _posted.Count;

    /// <summary>
    /// Nothing that the present pass told was ready earlier: the return of the poll before; of this one, if it slept. In the ticks of
    /// <see cref="Stopwatch"/>.
    /// </summary>
    public long ReadySince => Volatile.Read(ref _readySince);

    /// <summary>The number of the present pass.</summary>
    public long Pass => _pass.Number;

    public void AddLoad(int change) => Interlocked.Add(ref _load, change);

    /// <summary>
    /// Registers a descriptor; its first readiness may be told before this returns. Never throws: who registers is in the middle of starting
    /// a connection, or of arming a listener.
    /// </summary>
    public IoResult Register(ILoopHandler handler, int descriptor, Interest? interest)
    {
        // A hint: one that gets lost matters nothing.
        _registered += interest is null ? 0 : 1;
        IoResult result;
        try
        {
            _handlers.Add(handler);
            result = _refusing ? IoResult.Failure(Errno.EBADF)
                : interest is { } asked ? _poller.Register(descriptor, asked, handler.Token)
                : _poller.RegisterShared(descriptor, handler.Token);
        }
#pragma warning disable CA1031 // Memory that ran out, or a broken invariant of the poller: one registration's.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            LogFault(exception);
            result = IoResult.Failure(Errno.EFAULT);
        }

        if (result.IsError)
        {
            _handlers.Remove(handler);
        }

        return result;
    }

    /// <summary>Registers a listening descriptor that other loops have registered too.</summary>
    public IoResult RegisterShared(ILoopHandler handler, int descriptor) => Register(handler, descriptor, interest: null);

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
    /// Has all handlers end what they stand for, with the loop; registering fails from now on. Adding looks at the flag after the table's lock,
    /// and this takes that lock after the flag, so who is not among these is refused, and waits for nothing.
    /// </summary>
    /// <param name="fault">What the poller threw; null: the transport is disposed.</param>
    public void EndHandlers(Exception? fault = null)
    {
        _refusing = true;
        Array.ForEach(_handlers.Snapshot(), handler => EndHandler(handler, fault));
    }

    /// <summary>The same with one handler: a broken invariant is that of its own. What it throws is logged, as others are to be ended too.</summary>
    public void EndHandler(ILoopHandler handler, Exception? fault)
    {
        try
        {
            if (fault is null)
            {
                handler.Abandon();
            }
            else
            {
                handler.OnFault(fault);
            }
        }
#pragma warning disable CA1031 // There is nothing left to close; the log has both.
        catch (Exception second)
#pragma warning restore CA1031
        {
            LoopLog.Faulted(_logger, Index, second);
        }
    }

    /// <summary>Makes <see cref="OnDrive"/> return, soon.</summary>
    public void Stop()
    {
        _crew.Stop();
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

    /// <summary>The thread pool runs what is posted by now.</summary>
    public void MovePostedToPool()
    {
        while (_posted.TryDequeue(out ILoopWork? work))
        {
            Uninterrupted.QueueToPool(work);
        }
    }

    /// <summary>
    /// Calls another thread, unless one was called and has not come, or every seat is taken. It leaves when others suffice; and at once, if it
    /// only came to share a pass and has no processor for it.
    /// </summary>
    public void TryCall(bool isNeeded = true)
    {
        if (!_crew.TryCall(out int index))
        {
            // Who is on the way is to stay.
            Array.ForEach(_seats, seat => seat.MayDecline &= !(isNeeded && seat.IsCalled));
            return;
        }

        Seat seat = _seats[index];
        seat.MayDecline = !isNeeded;
        seat.IsCalled = true;
        try
        {
            _drive(seat);
        }
#pragma warning disable CA1031 // The system has no thread for us at the moment. Those who are here go on.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            seat.IsCalled = false;
            _callDelay.NoteRefused(_time);
            Leave(seat, isRefused: true);
            if (exception is not (OutOfMemoryException or ThreadStartException))
            {
                LogFault(exception);
            }
        }
    }

    /// <summary>
    /// For a seat whose thread comes back no more, as the loop stops; or that nobody else is to be given. The last one ends the loop.
    /// </summary>
    public void Leave(Seat seat, bool isRefused = false)
    {
        if (_crew.Leave(seat.Index, isRefused))
        {
            End();
        }
    }

    /// <summary>Closes the poller of a loop that no thread has driven.</summary>
    public void Dispose() => _poller.Dispose();

    private void WakeIfAsleep()
    {
        if (_crew.TryTakeWake())
        {
            _poller.Wake();
        }

        // TryTakeWake has fenced: either this sees the end, or the end sees the work.
        if (_ended)
        {
            MoveWorkToPool();
        }
    }

    private void MoveWorkToPool()
    {
        _timers.MoveTo(_posted, all: true);
        MovePostedToPool();
    }

    // What a poller threw, or who finds threads.
    private void LogFault(Exception exception) =>
        Uninterrupted.QueueToPool(new LogElsewhere(() => LoopLog.Faulted(_logger, Index, exception)));
}
