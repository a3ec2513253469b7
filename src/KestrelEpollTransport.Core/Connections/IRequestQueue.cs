using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Connections;

/// <summary>What the transport's own middleware asks of a connection, besides the delay. For the thread that begins with a request.</summary>
internal interface IRequestQueue : IQueueingDelayFeature
{
    /// <summary>None that is known, and so the delay is not either.</summary>
    const int Unknown = -1;

    /// <summary>The thread pool's queue.</summary>
    const int Pool = 0;

    /// <summary>The first queue of work off the loops, in the order of <see cref="WorkLane"/>.</summary>
    const int FirstLane = 1;

    /// <summary>The first loop's queue: what its poller tells, in the order in which it does.</summary>
    const int FirstLoop = FirstLane + 3;

    /// <summary>Which queue the request waited in, the longest if in two: how long one waits in another says nothing of it.</summary>
    int Queue { get; }

    /// <summary>The number of the loop's pass that told the request, where it waited for the loop; null: elsewhere.</summary>
    long? Pass { get; }

    /// <summary>
    /// The request is refused: how little that takes says nothing of what the connection's requests do. Does nothing where the calling thread runs
    /// neither a dispatch nor a piece of the connection.
    /// </summary>
    void OnRefused();

    /// <summary>Which queue what begins on the calling thread has come out of.</summary>
    /// <param name="loop">The loop of its connection.</param>
    /// <param name="profile">By what it was queued.</param>
    static int Here(EventLoop loop, in DispatchProfile profile) =>
        loop.IsDriver ? FirstLoop + loop.Index
        : Thread.CurrentThread.IsThreadPoolThread ? Pool
        : FirstLane + (int)(profile.Lane ?? WorkLane.Slow);
}
