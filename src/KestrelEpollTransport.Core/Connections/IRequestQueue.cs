namespace KestrelEpollTransport.Connections;

/// <summary>What the transport's own middleware asks of a connection, besides the delay. For the thread that begins with a request.</summary>
internal interface IRequestQueue : IQueueingDelayFeature
{
    /// <summary>The thread pool's queue.</summary>
    const int Pool = 0;

    /// <summary>The first queue of work off the loops, in the order of <see cref="Scheduling.WorkLane"/>.</summary>
    const int FirstLane = 1;

    /// <summary>The first loop's queue: what its poller tells, in the order in which it does.</summary>
    const int FirstLoop = FirstLane + 3;

    /// <summary>Which queue the request waited in: how long one waits in another says nothing of it.</summary>
    int Queue { get; }

    /// <summary>The number of the loop's pass that told the request, where it runs on the loop; null: it runs elsewhere.</summary>
    long? Pass { get; }

    /// <summary>The request is refused: how little that takes says nothing of what the connection's requests do.</summary>
    void OnRefused();
}
