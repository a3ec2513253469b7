using System.Net;
using System.Net.Sockets;

namespace KestrelEpollTransport.Native;

/// <summary>Turns the addresses that the kernel writes into the framework's end points.</summary>
internal static class SocketAddresses
{
    /// <summary>
    /// The size of <c>struct sockaddr_storage</c>: large enough for every family. Source: sys/socket.h of Darwin,
    /// sys/_sockaddr_storage.h of FreeBSD, glibc's bits/socket.h, versions as of SystemNumbers.
    /// </summary>
    private const int StorageSize = 128;

    // An end point creates another one from an address of its own family.
    private static readonly IPEndPoint s_ipv4 = new(IPAddress.Any, 0);
    private static readonly IPEndPoint s_ipv6 = new(IPAddress.IPv6Any, 0);
    private static readonly UnixDomainSocketEndPoint s_unix = new("/");

    /// <summary>A buffer that the kernel can write an address of any family into.</summary>
    public static SocketAddress CreateBuffer() => new(AddressFamily.InterNetworkV6, StorageSize);

    /// <summary>Whether a unix address is a name and no path: a zero follows the family, unix(7).</summary>
    public static bool IsAbstract(EndPoint endPoint)
    {
        // Two bytes of family, or one of length and one of family: the path begins at the third everywhere.
        SocketAddress address = endPoint.Serialize();
        ReadOnlySpan<byte> path = address.Buffer.Span[2..address.Size];
        return path.Length > 1 && path[0] == 0;
    }

    /// <summary>Whether it is a unix address that is a file.</summary>
    public static bool IsPath(EndPoint endPoint) => endPoint is UnixDomainSocketEndPoint && !IsAbstract(endPoint);

    /// <summary>The end point that <paramref name="address"/> says, or null for a family that is not ours.</summary>
    public static EndPoint? ToEndPoint(SocketAddress address) => address.Family switch
    {
        AddressFamily.InterNetwork => s_ipv4.Create(address),
        AddressFamily.InterNetworkV6 => s_ipv6.Create(address),
        AddressFamily.Unix => s_unix.Create(address),
        _ => null,
    };
}
