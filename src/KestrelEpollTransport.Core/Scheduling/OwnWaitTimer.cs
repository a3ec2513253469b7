using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Scheduling;

/// <summary>
/// With <see cref="ApplicationScheduling.UnsafeInline"/>: sees that a loop's thread sleeps in a dispatch, and fails the read or flush that this
/// dispatch has pending. Code that waits for its own connection (synchronous reads, <c>.Result</c>) would otherwise
/// wait for ever, and with it everybody on the loop. For the timer's thread.
/// </summary>
internal sealed class OwnWaitTimer : IDisposable
{
    /// <summary>A dispatch is seen twice before anything fails: a sleep that is shorter is only slow.</summary>
    private const int LookEveryMs = 100;

    private readonly LoopGroup _group;
    private readonly Timer _timer;
    private readonly Lock _lock = new();
    private long[] _seen = [];

    public OwnWaitTimer(LoopGroup group)
    {
        _group = group;
        using (ExecutionContext.SuppressFlow())
        {
            _timer = new Timer(static self => ((OwnWaitTimer)self!).Look(), this, LookEveryMs, LookEveryMs);
        }
    }

    public void Dispose() => _timer.Dispose();

    private void Look()
    {
        // A look that is late may meet the next one.
        using (_lock.Hold())
        {
            ReadOnlySpan<EventLoop> loops = _group.Started;
            if (_seen.Length != loops.Length)
            {
                _seen = new long[loops.Length];
            }

            for (int i = 0; i < loops.Length; i++)
            {
                long dispatch = loops[i].CurrentDispatch;
                if (dispatch != 0 && dispatch == _seen[i] && !loops[i].IsDriverRunnable)
                {
                    loops[i].FailOwnWait(dispatch);
                }

                _seen[i] = dispatch;
            }
        }
    }
}
