using System.Net;

namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>What a whole header says.</summary>
/// <param name="Length">Its length in bytes; what is behind it belongs to TLS or HTTP.</param>
/// <param name="Version">1 or 2.</param>
/// <param name="Command">Who the connection is for.</param>
/// <param name="Source">The client; null where the connection's own addresses hold.</param>
/// <param name="Destination">Where the client connected to; null where <paramref name="Source"/> is.</param>
/// <param name="Tlvs">The values behind the addresses, well formed; empty if there are none.</param>
internal readonly record struct ProxyHeader(
    int Length, int Version, ProxyProtocolCommand Command, IPEndPoint? Source, IPEndPoint? Destination, ReadOnlyMemory<byte> Tlvs);
