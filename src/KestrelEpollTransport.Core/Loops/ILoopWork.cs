using KestrelEpollTransport.Diagnostics;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Loops;

/// <summary>What a loop dispatches to, and so what can keep a loop from its other work.</summary>
internal interface IDispatched
{
    /// <summary>
    /// A dispatch of this kept its loop for too long, and still runs, on a thread that has lost the loop. For noting it,
    /// without entering application code. On the watch's thread.
    /// </summary>
    /// <param name="isBlocked">Whether the thread does nothing; false: it computes.</param>
    void OnHandedOff(bool isBlocked)
    {
    }

    /// <summary>Logs the same. On a thread that may block.</summary>
    /// <param name="logger">For what has no logger of its own.</param>
    /// <param name="loop">The loop's index.</param>
    /// <param name="blocked">How long it was blocked, at least.</param>
    void LogHandOff(ILogger logger, int loop, TimeSpan blocked) => SchedulingLog.HandedOff(logger, loop, blocked, connection: null);

    /// <summary>
    /// A dispatch of this blocks the thread of a loop that nobody takes over. True: it has something pending that only the loop would end, and
    /// that now fails. On a thread of the pool.
    /// </summary>
    bool TryFailOwnWait() => false;
}

/// <summary>Work that is posted to a loop.</summary>
internal interface ILoopWork : IThreadPoolWorkItem, IDispatched
{
    /// <summary>
    /// The work's turn has come, at the top of a dispatch on the loop's thread. On a loop that has ended it is
    /// <see cref="IThreadPoolWorkItem.Execute"/> instead, on the thread pool.
    /// </summary>
    void OnLoop() => Execute();
}
