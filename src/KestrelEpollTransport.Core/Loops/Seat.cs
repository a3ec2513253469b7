using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Loops;

/// <summary>
/// A place at a loop for one thread that drives it, and the dispatch that the thread is in. <see cref="TryTake"/> and what tells of a
/// dispatch are for any thread; the rest is for the thread that has the seat.
/// </summary>
internal sealed class Seat(EventLoop loop, int index, ILogger logger)
{
    private Permit _permit;
    private IDispatched? _dispatched;
    private volatile int _thread;
    private volatile KernelThread? _kernelThread;

    public EventLoop Loop => loop;

    public int Index => index;

    /// <summary>Whether the calling thread has it. It may have lost it by the time it looks at the answer.</summary>
    public bool IsMine => _thread == Environment.CurrentManagedThreadId;

    /// <summary>Whether its thread runs, or would if it had a processor; false: blocked; null: not known.</summary>
    public bool? IsRunning => _kernelThread?.IsRunnable();

    /// <summary>The dispatch that runs at this moment; 0: none. For <see cref="TryTake"/>.</summary>
    public long CurrentDispatch => _permit.Current;

    /// <summary>Whether its thread, or the one that was called for it, only came to share a pass that was late. A hint for others.</summary>
    public bool MayDecline { get; set; }

    /// <summary>Whether a thread was called for it that has not come. Written by who calls, and by that thread.</summary>
    public bool IsCalled { get; set; }

    /// <summary>The calling thread drives the loop from here.</summary>
    public void Take()
    {
        _thread = Environment.CurrentManagedThreadId;
        _kernelThread = KernelThread.Current;
    }

    /// <summary>The calling thread does no longer. The runtime gives the id of a thread that ended to another one.</summary>
    public void Give()
    {
        _thread = 0;
        _dispatched = null;
    }

    /// <summary>No dispatch runs, and the last one is to be forgotten.</summary>
    public void Forget() => _dispatched = null;

    /// <summary>
    /// Takes the seat from the thread that is stuck in <paramref name="dispatch"/>. True: the caller has to give it to
    /// another one, which calls <see cref="EventLoop.OnDrive"/>.
    /// </summary>
    /// <param name="dispatch">What <see cref="CurrentDispatch"/> was.</param>
    /// <param name="dispatched">What the thread is stuck in.</param>
    public bool TryTake(long dispatch, out IDispatched? dispatched)
    {
        bool taken = _permit.TryTake(dispatch);
        dispatched = taken ? _dispatched : null;
        MayDecline &= !taken;
        return taken;
    }

    /// <summary><see cref="IDispatched.TryFailOwnWait"/> of a dispatch.</summary>
    public bool TryFailOwnWait(long dispatch) => _dispatched is { } dispatched && CurrentDispatch == dispatch && dispatched.TryFailOwnWait();

    /// <summary>Tells a handler of its readiness, or else runs posted work. False: the seat was taken meanwhile.</summary>
    public bool TryDispatch(ILoopHandler? handler, Readiness readiness, ILoopWork? work, in ThreadBaseline baseline)
    {
        _dispatched = (IDispatched?)handler ?? work;
        long dispatch = _permit.Begin();
        try
        {
            if (handler is not null)
            {
                handler.OnReady(readiness);
            }
            else
            {
                work!.OnLoop();
            }
        }
#pragma warning disable CA1031 // Nothing may pass through a loop: everyone else's connections live here too.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            LoopLog.Faulted(logger, loop.Index, exception);

            // Work closes what it belongs to by itself.
            if (handler is not null)
            {
                loop.EndHandler(handler, exception);
            }
        }

        baseline.Restore();
        return _permit.TryEnd(dispatch);
    }
}
