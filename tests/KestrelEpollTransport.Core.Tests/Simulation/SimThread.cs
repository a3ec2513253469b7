using System.Collections.Concurrent;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Tests.Simulation;

internal enum SimState
{
    /// <summary>It waits for a processor.</summary>
    Ready,
    Running,

    /// <summary>Another thread, of another process, has its processor.</summary>
    Preempted,
    Blocked,
    Ended,
}

/// <summary>A thread of a <see cref="SimMachine"/>: a real one, that runs when it is told to.</summary>
internal sealed class SimThread : KernelThread
{
    private static readonly ConcurrentBag<Carrier> s_carriers = [];

    [ThreadStatic]
    private static SimThread? s_current;

    private readonly Action _run;
    private Carrier? _carrier;

    public SimThread(SimMachine machine, Action run)
        : base(statPath: null)
    {
        Machine = machine;
        Id = machine.NextThread();
        _run = run;
    }

    /// <summary>The calling thread; null: a real one.</summary>
    public static new SimThread? Current => s_current;

    public SimMachine Machine { get; }

    /// <summary>The same with each run of a seed, as that of the real thread is not. That of no real one.</summary>
    public int Id { get; }

    public SimState State { get; set; }

    /// <summary>What it has to compute before it goes on.</summary>
    public long Remaining { get; set; }

    public long Slice { get; set; }

    /// <summary>Counts its waits, so that an old time-out ends no new one.</summary>
    public int Version { get; set; }

    public bool WasWoken { get; set; }

    public override bool? IsRunnable() => State is not (SimState.Blocked or SimState.Ended);

    /// <summary>Has it go on, for the first time too.</summary>
    public void Go()
    {
        if (_carrier is null)
        {
            _carrier = s_carriers.TryTake(out Carrier? free) ? free : new Carrier();
            _carrier.Carry(this);
        }
        else
        {
            _carrier.Turn.Release();
        }
    }

    public void WaitToGo() => _carrier!.Turn.Wait();

    private void Run()
    {
        s_current = this;
        KernelThread.Current = this;
        Exception? failure = null;
        try
        {
            _run();
        }
#pragma warning disable CA1031 // The test throws it.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            failure = exception;
        }

        s_current = null;
        s_carriers.Add(_carrier!);
        Machine.End(this, failure);
    }

    /// <summary>A thread of the runtime's, which carries one simulated thread after the other: to start one takes 100 µs.</summary>
    private sealed class Carrier
    {
        private SimThread? _next;

        public Carrier() => new Thread(Run) { IsBackground = true, Name = "simulated" }.UnsafeStart();

        public SemaphoreSlim Turn { get; } = new(0);

        public void Carry(SimThread thread)
        {
            _next = thread;
            Turn.Release();
        }

        private void Run()
        {
            while (true)
            {
                Turn.Wait();
                SimThread thread = _next!;
                thread.Run();
            }
        }
    }
}
