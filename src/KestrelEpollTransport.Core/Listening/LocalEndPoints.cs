using System.Net;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Listening;

/// <summary>
/// The local end points of a listener's connections: mostly the same one again, and so one object for all of them.
/// Thread-safe.
/// </summary>
internal sealed class LocalEndPoints
{
    private Entry? _last;

    public EndPoint? Get(SocketAddress address)
    {
        Entry? last = Volatile.Read(ref _last);
        if (last is not null && last.Address.Equals(address))
        {
            return last.EndPoint;
        }

        // The address is a buffer that the kernel will write into again.
        SocketAddress copy = new(address.Family, address.Size);
        address.Buffer.Span[..address.Size].CopyTo(copy.Buffer.Span);
        EndPoint? endPoint = SocketAddresses.ToEndPoint(copy);
        if (endPoint is not null)
        {
            Volatile.Write(ref _last, new Entry(copy, endPoint));
        }

        return endPoint;
    }

    private sealed record Entry(SocketAddress Address, EndPoint EndPoint);
}
