namespace KestrelEpollTransport.Tests.Simulation;

/// <summary>
/// A machine with virtual time: so many processors, and threads of which one at a time runs real code. A thread hands over where it
/// computes, sleeps, waits, or comes to a <see cref="Point"/>; who goes on then is drawn by lot. The same seed draws the same lots.
/// </summary>
/// <remarks>
/// Code between two of these takes no time and is not divided, but at each <see cref="Step"/>, which only sources have that were compiled for it.
/// </remarks>
internal sealed class SimMachine : TimeProvider, IDisposable
{
    private const long SliceNs = 3_000_000;

    /// <summary>So many points without time that passes are no progress.</summary>
    private const int MostPoints = 100_000;

    private readonly Random _random;
    private readonly PriorityQueue<Timed, (long Due, long Order)> _timed = new();
    private readonly List<SimThread> _continuing = [];
    private readonly Queue<SimThread> _ready = new();
    private readonly SemaphoreSlim _main = new(0);
    private int _lastThread = 1_000_000;
    private long _order;
    private long _returnAt;
    private long _pointsAt;
    private int _points;
    private Exception? _failure;

    public SimMachine(int seed, int processors)
    {
        _random = new Random(seed);
        FreeProcessors = processors;
        IdleSince = 0;
    }

    /// <summary>Nanoseconds since the machine was made.</summary>
    public long Now { get; private set; }

    /// <summary>Processors that no thread has.</summary>
    public int FreeProcessors { get; private set; }

    /// <summary>Since when there has been a processor for whoever wants one; <see cref="long.MaxValue"/>: there is none.</summary>
    public long IdleSince { get; private set; }

    /// <summary>Threads that wait for a processor.</summary>
    public int Waiting => _ready.Count;

    /// <summary>How likely it is that a thread loses its processor at a point; and that it lets others go on.</summary>
    public double Preemption { get; init; }

    public double Interleaving { get; init; }

    /// <summary>How likely it is that a thread lets others go on at a <see cref="Step"/>.</summary>
    public double Steps { get; init; }

    /// <summary>How long a thread that is woken takes to come.</summary>
    public long WakeLatencyNs { get; init; }

    /// <summary>Threads that have not ended.</summary>
    public int Threads { get; private set; }

    public override long TimestampFrequency => 1_000_000_000;

    /// <summary>A <see cref="Point"/> too. Nobody holds a lock here.</summary>
    public override long GetTimestamp()
    {
        Point();
        return Now;
    }

    public void Dispose() => _main.Dispose();

    public int Next(int limit) => _random.Next(limit);

    public bool Chance(double probability) => probability > 0 && _random.NextDouble() < probability;

    /// <summary>Exponentially distributed.</summary>
    public long NextExponential(double mean) => (long)(-Math.Log(1 - _random.NextDouble()) * mean);

    public int NextThread() => ++_lastThread;

    /// <summary>Starts a thread.</summary>
    public void Start(Action run)
    {
        SimThread thread = new(this, run);
        Threads++;
        MakeReady(thread, WakeLatencyNs);
    }

    /// <summary>Has something done at a time; it must not wait.</summary>
    public void At(long dueNs, Action action) => Enqueue(new Timed(null, 0, action), dueNs);

    /// <summary>Runs the machine until <paramref name="untilNs"/>, or until nothing will happen any more. For the test's thread.</summary>
    public void Run(long untilNs)
    {
        _returnAt = untilNs;
        if (PickNext() is { } next)
        {
            next.Go();
            if (!_main.Wait(TimeSpan.FromMinutes(1)))
            {
                throw new SimulationException("a thread waits for something that is not of this machine", null);
            }
        }

        if (_failure is not null)
        {
            throw new SimulationException(_failure.Message, _failure);
        }
    }

    /// <summary>The calling thread computes.</summary>
    public void Compute(long ns)
    {
        SimThread me = SimThread.Current!;
        me.Remaining = ns;
        BeginSlice(me);
        HandOver(me);
    }

    /// <summary>The calling thread sleeps.</summary>
    public void Sleep(long ns) => Block(SimThread.Current!, ns, isPreempted: false);

    /// <summary>The calling thread waits for <see cref="Wake"/>. False: the time was over.</summary>
    public bool Wait(long timeoutNs)
    {
        SimThread me = SimThread.Current!;
        me.WasWoken = false;
        Block(me, timeoutNs, isPreempted: false);
        return me.WasWoken;
    }

    /// <summary>Ends the wait of a thread that is in one.</summary>
    public void Wake(SimThread thread)
    {
        thread.WasWoken = true;
        if (thread.State == SimState.Blocked)
        {
            thread.Version++;
            MakeReady(thread, WakeLatencyNs);
        }
    }

    /// <summary>A place in the code where the calling thread may lose its processor, or others go on first.</summary>
    public void Point()
    {
        if (SimThread.Current is { } me)
        {
            Point(me, Preemption, Interleaving);
        }
    }

    /// <summary>The same before an operation on a word that threads share, of which there are many.</summary>
    public void Step()
    {
        if (SimThread.Current is { } me)
        {
            Point(me, Preemption * Steps, Steps);
        }
    }

    private void Point(SimThread me, double preemption, double interleaving)
    {
        _points = Now == _pointsAt ? _points + 1 : 0;
        _pointsAt = Now;
        if (_points > MostPoints)
        {
            throw new SimulationException("threads run in a circle", null);
        }

        if (Chance(preemption))
        {
            Block(me, _random.Next(1, 2_000_000), isPreempted: true);
        }
        else if (Chance(interleaving))
        {
            _continuing.Add(me);
            HandOver(me);
        }
    }

    public void Fail(string what) => _failure ??= new SimulationException(what, null);

    /// <summary>The thread is over.</summary>
    internal void End(SimThread thread, Exception? failure)
    {
        _failure ??= failure;
        Threads--;
        thread.State = SimState.Ended;
        FreeProcessor();
        Continue(PickNext());
    }

    private void Block(SimThread me, long ns, bool isPreempted)
    {
        me.State = isPreempted ? SimState.Preempted : SimState.Blocked;
        me.Version++;
        me.Remaining = 0;
        if (ns != Timeout.Infinite)
        {
            Enqueue(new Timed(me, me.Version, null), Now + ns);
        }

        FreeProcessor();
        HandOver(me);
    }

    private void HandOver(SimThread me)
    {
        SimThread? next = PickNext();
        if (next != me)
        {
            Continue(next);
            me.WaitToGo();
        }
    }

    private void Continue(SimThread? next)
    {
        if (next is null)
        {
            _main.Release();
        }
        else
        {
            next.Go();
        }
    }

    // Null: the test's thread is to go on.
    private SimThread? PickNext()
    {
        while (_failure is null)
        {
            if (_continuing.Count > 0)
            {
                int index = _continuing.Count == 1 ? 0 : _random.Next(_continuing.Count);
                SimThread next = _continuing[index];
                _continuing[index] = _continuing[^1];
                _continuing.RemoveAt(_continuing.Count - 1);
                return next;
            }

            if (!_timed.TryPeek(out Timed timed, out (long Due, long Order) priority) || priority.Due > _returnAt)
            {
                Now = Math.Max(Now, Math.Min(_returnAt, long.MaxValue));
                return null;
            }

            _timed.Dequeue();
            Now = priority.Due;
            if (timed.Action is { } action)
            {
                action();
            }
            else if (timed.Thread!.Version == timed.Version)
            {
                OnDue(timed.Thread);
            }
        }

        return null;
    }

    private void OnDue(SimThread thread)
    {
        if (thread.State != SimState.Running)
        {
            // Its time-out, or its turn after a preemption.
            thread.Version++;
            MakeReady(thread, 0);
            return;
        }

        thread.Remaining -= thread.Slice;
        if (thread.Remaining <= 0)
        {
            _continuing.Add(thread);
        }
        else if (_ready.Count > 0)
        {
            thread.State = SimState.Ready;
            _ready.Enqueue(thread);
            FreeProcessor();
        }
        else
        {
            BeginSlice(thread);
        }
    }

    private void MakeReady(SimThread thread, long latency)
    {
        thread.Remaining = latency;
        thread.State = SimState.Ready;
        if (FreeProcessors > 0)
        {
            FreeProcessors--;
            IdleSince = FreeProcessors > 0 ? IdleSince : long.MaxValue;
            BeginSlice(thread);
        }
        else
        {
            _ready.Enqueue(thread);
        }
    }

    private void FreeProcessor()
    {
        if (_ready.TryDequeue(out SimThread? next))
        {
            BeginSlice(next);
            return;
        }

        IdleSince = FreeProcessors > 0 ? IdleSince : Now;
        FreeProcessors++;
    }

    private void BeginSlice(SimThread thread)
    {
        thread.State = SimState.Running;
        thread.Version++;
        if (thread.Remaining <= 0)
        {
            _continuing.Add(thread);
            return;
        }

        thread.Slice = Math.Min(thread.Remaining, SliceNs);
        Enqueue(new Timed(thread, thread.Version, null), Now + thread.Slice);
    }

    private void Enqueue(Timed timed, long due) => _timed.Enqueue(timed, (due, _order++));

    private readonly record struct Timed(SimThread? Thread, int Version, Action? Action);
}

/// <summary>What a simulated machine found wrong.</summary>
internal sealed class SimulationException(string message, Exception? inner) : Exception(message, inner);
