using System.Net;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Listening;

/// <summary>
/// A listener in one loop: its registration, and what accepting there needs again and again. For the threads that drive the loop, two
/// perhaps at the same moment.
/// </summary>
internal sealed class AcceptHandler(EpollListener listener, EventLoop loop) : ILoopHandler
{
    /// <summary>The least that a turn accepts: a few, so that a burst of connections is spread over the loops.</summary>
    public const int LeastBudget = 4;

    /// <summary>A loop that is busy with connections takes new ones for about a third of its time: one costs as much as two requests.</summary>
    public const int EventsPerAccept = 4;

    private SocketAddress? _address;
    private LocalEndPoint? _local;
    private long _eventsBefore;

    public Token Token { get; set; }

    public EventLoop Loop { get; } = loop;

    /// <summary>Whether the loop is asked for the listener's readiness. Of <see cref="AcceptArming"/>, under its lock.</summary>
    public bool IsRegistered { get; set; }

    /// <summary>
    /// How many connections to accept in this turn, before the loop goes on with its other work and is told again: one for every
    /// <see cref="EventsPerAccept"/> events of the round since the turn before.
    /// </summary>
    /// <remarks>
    /// epoll(7) tells of a listener that has more in its turn: after everything else that is ready by then. Where thousands of
    /// connections are always ready, a constant number of connections a turn would let the backlog run over.
    /// </remarks>
    /// <param name="eventsTold">How many events the loop has been told of so far.</param>
    /// <param name="load">How many connections it has: a round tells of each once, and what came in earlier rounds is no reason to
    /// let everybody wait now.</param>
    public int TakeBudget(long eventsTold, int load)
    {
        long events = Math.Min(eventsTold - _eventsBefore, load);
        _eventsBefore = eventsTold;
        return (int)Math.Clamp(events / EventsPerAccept, LeastBudget, AcceptPlaces.Limit);
    }

    /// <summary>Where the kernel writes addresses. Another one while another thread has it.</summary>
    public SocketAddress TakeAddress() => Interlocked.Exchange(ref _address, null) ?? SocketAddresses.CreateBuffer();

    public void ReturnAddress(SocketAddress address) => Volatile.Write(ref _address, address);

    /// <summary>The local end point of a connection: mostly the same one again, and so one object for all of them. Null: the kernel does not tell.</summary>
    /// <param name="descriptor">The connection's.</param>
    /// <param name="address">Where the kernel writes it.</param>
    public EndPoint? LocalEndPointOf(int descriptor, SocketAddress address)
    {
        if (SystemCalls.GetLocalAddress(descriptor, address).IsError)
        {
            return null;
        }

        ReadOnlySpan<byte> bytes = address.Buffer.Span[..address.Size];
        LocalEndPoint? last = Volatile.Read(ref _local);
        if (last is not null && bytes.SequenceEqual(last.Address))
        {
            return last.EndPoint;
        }

        EndPoint? endPoint = SocketAddresses.ToEndPoint(address);
        if (endPoint is not null)
        {
            Volatile.Write(ref _local, new LocalEndPoint(bytes.ToArray(), endPoint));
        }

        return endPoint;
    }

    public void OnReady(Readiness readiness) => listener.OnAcceptable(this);

    public void OnFault(Exception exception) => listener.BackOff(exception);

    public void Abandon() => listener.Abandon();

    private sealed record LocalEndPoint(byte[] Address, EndPoint EndPoint);
}
