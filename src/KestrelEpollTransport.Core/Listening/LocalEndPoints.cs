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
        ReadOnlySpan<byte> bytes = address.Buffer.Span[..address.Size];
        Entry? last = Volatile.Read(ref _last);
        if (last is not null && bytes.SequenceEqual(last.Address))
        {
            return last.EndPoint;
        }

        EndPoint? endPoint = SocketAddresses.ToEndPoint(address);
        if (endPoint is not null)
        {
            Volatile.Write(ref _last, new Entry(bytes.ToArray(), endPoint));
        }

        return endPoint;
    }

    private sealed record Entry(byte[] Address, EndPoint EndPoint);
}
