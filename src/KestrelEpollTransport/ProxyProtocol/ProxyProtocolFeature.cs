using System.Net;
using System.Text;

namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>The header of a connection and the connection's own end points.</summary>
internal sealed class ProxyProtocolFeature(in ProxyHeader header, EndPoint? proxyRemote, EndPoint? proxyLocal) : IProxyProtocolFeature
{
    public int Version { get; } = header.Version;

    public ProxyProtocolCommand Command { get; } = header.Command;

    public IPEndPoint? SourceEndPoint { get; } = header.Source;

    public IPEndPoint? DestinationEndPoint { get; } = header.Destination;

    public EndPoint? ProxyRemoteEndPoint { get; } = proxyRemote;

    public EndPoint? ProxyLocalEndPoint { get; } = proxyLocal;

    // Made when asked for: few ask, and hardly anybody twice.
    public string? Authority => TryGetTlv(ProxyProtocolTlv.Authority, out ReadOnlyMemory<byte> value) ? Encoding.UTF8.GetString(value.Span) : null;

    public ReadOnlyMemory<byte> Tlvs { get; } = header.Tlvs;

    public bool TryGetTlv(byte type, out ReadOnlyMemory<byte> value) => Values.TryFind(Tlvs, type, out value);
}
