namespace TransportBench.Client;

/// <summary>A connection as an <see cref="OpenLoop"/> sees it.</summary>
internal interface IOpenConnection
{
    /// <summary>
    /// Sends a request; <see cref="OpenLoop.OnFree"/> follows when it was answered. Returns the moment of sending.
    /// </summary>
    /// <param name="due">When the request should have left: from here on it takes time.</param>
    long Ask(long due);
}

/// <summary>
/// Sends requests when they are due, whether or not the former ones were answered: each takes the connection that has been free for
/// longest, or waits for one, first come, first served. For the loop's thread.
/// </summary>
/// <remarks>
/// A client that waits for an answer before it asks again asks less while the server is slow, and then most of those who would have
/// had to wait are missing from its percentiles: coordinated omission, as Gil Tene has named it ("How NOT to Measure Latency", and
/// the README of wrk2). So the time of a request begins here when it was due, and what could not leave then is counted as well.
/// </remarks>
/// <param name="arrivals">When requests are due.</param>
/// <param name="clock">The load's.</param>
/// <param name="recorder">Is told what was sent, and when.</param>
/// <param name="end">From then on nothing is due.</param>
internal sealed class OpenLoop(PoissonArrivals arrivals, PhaseClock clock, Recorder recorder, long end = long.MaxValue)
{
    // One entry a connection at most.
    private readonly Queue<(IOpenConnection Connection, long Since)> _free = new();

    // Due times that have come. As many as there are in the whole load at most: if the server never answers.
    private readonly Queue<long> _due = new();

    /// <summary>A connection can be asked from now on.</summary>
    public void OnFree(IOpenConnection connection, long now)
    {
        _free.Enqueue((connection, now));
        SendWhatIsDue(now);
    }

    /// <summary>Sends what is due by now, as far as connections are free; returns when the next request is due.</summary>
    public long SendWhatIsDue(long now)
    {
        CollectUntil(now);
        while (_free.Count > 0 && _due.TryDequeue(out long due))
        {
            (IOpenConnection connection, long freeSince) = _free.Dequeue();
            now = connection.Ask(due);
            if (freeSince <= due)
            {
                recorder.OnSent(due, now);
            }

            // Sending takes time, too, in which more has become due.
            CollectUntil(now);
        }

        return arrivals.Next < end ? arrivals.Next : long.MaxValue;
    }

    /// <summary>Counts what has not left by the end of a phase. To be called before anything that is due later is sent.</summary>
    public void OnPhaseEnd(int phase)
    {
        CollectUntil(clock.EndOf(phase) - 1);
        foreach (long due in _due)
        {
            recorder.OnStillWaiting(due, phase);
        }

        // Where none is free it is the server that they wait for.
        recorder.OnUnsent(_free.Count > 0 ? _due.Count : 0, phase);
    }

    // What is due after the end of the load is nobody's.
    private void CollectUntil(long now)
    {
        now = Math.Min(now, Math.Min(clock.End, end) - 1);
        while (arrivals.Next <= now)
        {
            long due = arrivals.Take();
            recorder.OnDue(due);
            _due.Enqueue(due);
        }
    }
}
