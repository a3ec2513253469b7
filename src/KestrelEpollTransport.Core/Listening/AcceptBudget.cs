namespace KestrelEpollTransport.Listening;

/// <summary>
/// How many connections a loop takes in one turn, before it goes on with its other work and is told again: one for every
/// <see cref="EventsPerAccept"/> events of the round since the turn before. For the loop's thread.
/// </summary>
/// <remarks>
/// epoll(7) tells of a listener that has more in its turn: after everything else that is ready by then. Where thousands of
/// connections are always ready, a constant number of connections a turn would let the backlog run over.
/// </remarks>
internal struct AcceptBudget
{
    /// <summary>A few, so that a burst of connections is spread over the loops.</summary>
    public const int Least = 4;

    /// <summary>A loop that is busy with connections takes new ones for about a third of its time: one costs as much as two requests.</summary>
    public const int EventsPerAccept = 4;

    private long _eventsBefore;

    /// <param name="eventsTold">How many events the loop has been told of so far.</param>
    /// <param name="load">How many connections it has: a round tells of each once, and what came in earlier rounds is no reason to
    /// let everybody wait now.</param>
    public int Take(long eventsTold, int load)
    {
        long events = Math.Min(eventsTold - _eventsBefore, load);
        _eventsBefore = eventsTold;
        return (int)Math.Clamp(events / EventsPerAccept, Least, EpollListener.QueueLimit);
    }
}
