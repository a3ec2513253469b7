using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// A thread of <see cref="Workers"/>: it drives a loop, until that ends or is taken from it, or runs work that is too dear
/// for the loops; then it waits to be given something else, and ends if nothing comes.
/// </summary>
#pragma warning disable CA1001 // A semaphore owns something to dispose only once its wait handle was asked for.
internal sealed class Worker
#pragma warning restore CA1001
{
    private readonly Workers _owner;
    private readonly Thread _thread;
    private readonly SemaphoreSlim _given = new(0);
    private EventLoop? _loop;
    private bool _ended;

    public Worker(Workers owner)
    {
        _owner = owner;

        // Background: a process that forgets to dispose still ends. The default stack size: handlers run here
        // and may be as deep as on the thread pool.
        _thread = new Thread(Run) { IsBackground = true, Name = Workers.ThreadName };
    }

    // UnsafeStart: a worker outlives the request that happened to start it and must not carry its AsyncLocals.
    public void Start() => _thread.UnsafeStart();

    /// <summary>Gives the worker, which is the caller's, a loop to drive.</summary>
    public void Give(EventLoop loop)
    {
        _loop = loop;
        _given.Release();
    }

    /// <summary>Has the worker, which is the caller's, drain the queue of dear work.</summary>
    public void Wake() => _given.Release();

    /// <summary>Has the worker, which is the caller's, end.</summary>
    public void End()
    {
        _ended = true;
        _given.Release();
    }

    /// <summary>Waits for the thread to end. A thread does not wait for itself.</summary>
    public void Join(TimeSpan timeout)
    {
        if (_thread != Thread.CurrentThread)
        {
            _thread.Join(timeout);
        }
    }

    private void Run()
    {
        ThreadBaseline baseline = ThreadBaseline.Capture();
        while (WaitToBeGiven())
        {
            bool wasBusy = true;
            if (_loop is { } loop)
            {
                _loop = null;
                wasBusy = !Drive(loop);
                baseline.Restore();
            }

            if (wasBusy)
            {
                // Also after a stuck dispatch: dear work may wait because all others are.
                _owner.OffLoop.OnWorker(baseline);
            }

            if (!_owner.TryRest(this, wasBusy))
            {
                break;
            }
        }
    }

    private bool WaitToBeGiven()
    {
        while (!_given.Wait(_owner.IdleTimeout))
        {
            if (_owner.TryRetire(this))
            {
                return false;
            }

            // Somebody has taken this one and is about to give it something.
        }

        return !_ended;
    }

    // False: the loop was taken over while a dispatch was stuck.
    private static bool Drive(EventLoop loop)
    {
        // For whoever looks at the threads of a process: this is the loop, for as long as it is.
        Thread.CurrentThread.Name = loop.Name;
        return loop.OnDrive(ThreadBaseline.Capture());
    }
}
