using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Loops;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// With <see cref="ApplicationScheduling.UnsafeInline"/>: sees that a loop's thread sleeps in a dispatch, and fails the read or flush that this
/// dispatch's connection has pending. Code that waits for its own connection (synchronous reads, <c>.Result</c>) would otherwise
/// wait for ever, and with it everybody on the loop. Looks on the thread pool.
/// </summary>
internal sealed class OwnWaitTimer : IDisposable
{
    /// <summary>From one look to the next, at least.</summary>
    private const int LookEveryMs = 40;

    /// <summary>
    /// How many more looks see a thread asleep in one dispatch, one of which proves nothing where the process was stopped before it; and how
    /// many see it there where the system does not say what it does.
    /// </summary>
    private const int BlockedLooks = 3;
    private const int UnknownLooks = 1_000 / LookEveryMs;

    private volatile bool _disposed;

    public OwnWaitTimer(LoopGroup group, ILogger logger)
    {
        using (ExecutionContext.SuppressFlow())
        {
            _ = LookOnAsync(group, logger);
        }
    }

    public void Dispose() => _disposed = true;

    private async Task LookOnAsync(LoopGroup group, ILogger logger)
    {
        (long Dispatch, int Looks)[] sightings = [];
        while (!_disposed)
        {
            try
            {
                await Task.Delay(LookEveryMs).ConfigureAwait(false);
                EventLoop[] loops = group.Started;
                Array.Resize(ref sightings, loops.Length);
                for (int i = 0; i < loops.Length; i++)
                {
                    LookAt(loops[i], ref sightings[i]);
                }
            }
#pragma warning disable CA1031 // Whoever waits for itself depends on the next look.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                LoopLog.WatchFaulted(logger, exception);
            }
        }
    }

    private static void LookAt(EventLoop loop, ref (long Dispatch, int Looks) sighting)
    {
        // With this scheduling a loop has one thread.
        Seat seat = loop.Seats[0];
        long dispatch = seat.CurrentDispatch;
        bool? runs = dispatch == 0 ? true : seat.IsRunning;
        sighting = runs == true ? default : (dispatch, dispatch == sighting.Dispatch ? sighting.Looks + 1 : 0);
        if (sighting.Looks >= (runs is null ? UnknownLooks : BlockedLooks) && seat.TryFailOwnWait(dispatch))
        {
            // That may be what ends the wait.
            loop.MovePostedToPool();
        }
    }
}
