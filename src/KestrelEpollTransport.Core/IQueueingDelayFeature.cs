namespace KestrelEpollTransport;

/// <summary>
/// How long requests wait on the server before anybody begins with them. A feature of the connections of the epoll transport, which requests
/// have too (<c>HttpContext.Features</c>); those of other transports, and HTTP/3, have none.
/// </summary>
public interface IQueueingDelayFeature
{
    /// <summary>
    /// How long what is read now could have been begun with, and was not, at most: from the return of the poll before the one that told of it,
    /// or of that one if it slept, to the moment that a thread began to receive. The wait for a worker, or for the thread pool, is part of it;
    /// the wait for a connection to be accepted is not.
    /// </summary>
    /// <remarks>
    /// <para>It is the delay of what runs at this moment, and before the next read the last one's; so a request has to look when it begins. What
    /// comes pipelined behind a request is received together with it, and has the same delay.</para>
    /// <para>Not known, and 0, is the delay of what had come by the time that code which had awaited, and went on on another thread, was ready for
    /// it. Where several threads drive a loop, a delay may be told too small by that, and never too large.</para>
    /// <para>A stream of HTTP/2 is begun with by Kestrel, on the thread pool, and here has the delay of what its connection received last. The wait
    /// for the pool is not known. With <see cref="EpollTransportOptions.ScheduleContinuations"/> the stream begins on the transport's threads,
    /// and the wait for one of those is added.</para>
    /// <para>Any thread may ask.</para>
    /// </remarks>
    TimeSpan Delay { get; }
}
