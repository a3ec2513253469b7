using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>What a worker waits for: set once, it ends one wait. An event: what else there is wakes more slowly, or spins.</summary>
internal class WorkerSignal : IDisposable
{
    private readonly AutoResetEvent _event = new(false);

    public virtual void Set() => _event.Set();

    /// <summary>False: the time was over.</summary>
    public virtual bool Wait(TimeSpan timeout) => _event.WaitOne(timeout);

    public virtual void Dispose() => _event.Dispose();
}

/// <summary>
/// A thread of <see cref="Workers"/>: it drives a loop, until others suffice or its seat is taken, or runs work that is known to
/// block; then it waits to be given something else, and ends if nothing comes.
/// </summary>
#pragma warning disable CA1001 // The thread disposes of its signal when it ends.
internal sealed class Worker(Workers owner)
#pragma warning restore CA1001
{
    private readonly WorkerSignal _signal = owner.CreateSignal();
    private Thread? _thread;

    // Written by who gives, before it gives.
    private Seat? _seat;
    private bool _ended;

    public void Start()
    {
        // As in EventLoop.DriveOnThread.
        _thread = new Thread(Run) { IsBackground = true, Name = Workers.ThreadName };
        Uninterrupted.Start(_thread);
    }

    /// <summary>Gives the worker, which is the caller's, a seat to drive a loop from.</summary>
    public void Give(Seat seat)
    {
        _seat = seat;
        Wake();
    }

    /// <summary>Has the worker, which is the caller's, drain the queue of work off the loops.</summary>
    public void Wake() => _signal.Set();

    /// <summary>Has the worker, which is the caller's, end.</summary>
    public void End()
    {
        _ended = true;
        Wake();
    }

    /// <summary>Waits for the thread to end. A thread does not wait for itself.</summary>
    public void Join(TimeSpan timeout)
    {
        if (_thread is { } thread && thread != Thread.CurrentThread)
        {
            Uninterrupted.Wait(thread, timeout, static (thread, left) => thread.Join(left));
        }
    }

    /// <summary>What the thread does. A test that simulates threads runs it on one of its own.</summary>
    internal void Run()
    {
        ThreadBaseline baseline = ThreadBaseline.Capture();
        while (WaitToBeGiven())
        {
            // Who was called has to come, whatever happened since: nobody else is called before.
            bool wasBusy = true;
            bool drains = true;
            if (_seat is { } seat)
            {
                _seat = null;
                wasBusy = !Drive(seat);
                if (wasBusy)
                {
                    // The loop's name is another thread's now.
                    baseline.Restore();
                }

                // After a stuck dispatch work off the loops may wait because all others are stuck. But not as one too many, or the
                // reserve would never come back while there is more of it than workers.
                drains = wasBusy && owner.HasReserve;
            }

            if (drains)
            {
                owner.OffLoop.Drain(baseline);
            }

            if (!owner.TryRest(this, wasBusy))
            {
                break;
            }
        }

        _signal.Dispose();
    }

    private bool WaitToBeGiven()
    {
        while (true)
        {
            try
            {
                if (_signal.Wait(owner.IdleTimeout))
                {
                    return !_ended;
                }
            }
            catch (ThreadInterruptedException)
            {
                // Application code interrupted its thread, and had left it when that struck. As if the time were over.
            }

            if (owner.TryRetire(this))
            {
                return false;
            }

            // Somebody has taken this one and is about to give it something.
        }
    }

    // False: the seat was taken while a dispatch was stuck.
    private static bool Drive(Seat seat)
    {
        // For whoever looks at the threads of a process. It costs a system call or two: a thread that comes and goes keeps the name until
        // it does something else.
        if (!ReferenceEquals(Thread.CurrentThread.Name, seat.Loop.Name))
        {
            Thread.CurrentThread.Name = seat.Loop.Name;
        }

        return seat.Loop.OnDrive(seat, ThreadBaseline.Capture());
    }
}
