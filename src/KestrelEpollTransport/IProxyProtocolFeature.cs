using System.Net;

namespace KestrelEpollTransport;

/// <summary>
/// What the PROXY protocol header of a connection said, and the connection's own end points. A feature of the connection, which requests
/// have too; there is none where no header was taken, as of a plain client.
/// </summary>
/// <remarks>
/// It does not change once the connection has it, so any thread may read it at any time. The format is HAProxy's
/// <c>doc/proxy-protocol.txt</c>.
/// </remarks>
public interface IProxyProtocolFeature
{
    /// <summary>The version of the header: 1 (text) or 2 (binary).</summary>
    int Version { get; }

    /// <summary>Whether the proxy speaks for a client or for itself.</summary>
    ProxyProtocolCommand Command { get; }

    /// <summary>
    /// Where the client connected from, as the proxy says; it is the connection's <c>RemoteEndPoint</c> now. Null where the header
    /// names no TCP addresses (LOCAL, UNKNOWN, unspecified, and datagram and unix addresses, which the specification lets a receiver
    /// take for unspecified): the connection then keeps its own, so that what looks like the client's address is the proxy's.
    /// </summary>
    IPEndPoint? SourceEndPoint { get; }

    /// <summary>
    /// Where the client connected to, as the proxy says; it is the connection's <c>LocalEndPoint</c> now. Null where
    /// <see cref="SourceEndPoint"/> is.
    /// </summary>
    IPEndPoint? DestinationEndPoint { get; }

    /// <summary>The connection's own remote end point: the proxy. Null if the transport has none.</summary>
    EndPoint? ProxyRemoteEndPoint { get; }

    /// <summary>The connection's own local end point: where the proxy connected to. Null if the transport has none.</summary>
    EndPoint? ProxyLocalEndPoint { get; }

    /// <summary>
    /// The host name that the client asked for (<see cref="ProxyProtocolTlv.Authority"/>), or null if the header has none. Bytes that are no
    /// UTF-8 become U+FFFD. It is what the client wrote, and is not checked to be a host name.
    /// </summary>
    string? Authority { get; }

    /// <summary>
    /// The values (type, length, value) of a header of version 2, as they came; empty if there are none. For types that may come more than
    /// once. Limit: what <see cref="ProxyProtocolOptions.MaxHeaderSize"/> leaves.
    /// </summary>
    ReadOnlyMemory<byte> Tlvs { get; }

    /// <summary>Finds the first value of a type.</summary>
    /// <param name="type">One of <see cref="ProxyProtocolTlv"/>, or any other.</param>
    /// <param name="value">The value as it came, without type and length; may be empty.</param>
    /// <returns>Whether there is one.</returns>
    bool TryGetTlv(byte type, out ReadOnlyMemory<byte> value);
}
