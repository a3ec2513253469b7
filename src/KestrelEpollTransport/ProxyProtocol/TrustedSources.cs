using System.Net;
using System.Net.Sockets;

namespace KestrelEpollTransport.ProxyProtocol;

/// <summary>Who is believed. It does not change; any thread may ask.</summary>
internal sealed class TrustedSources
{
    /// <summary>How many bits of ::ffff:a.b.c.d are in front of the IPv4 address.</summary>
    private const int MappedPrefix = 96;

    private readonly IPNetwork[] _networks;
    private readonly bool _unixSockets;

    public TrustedSources(ProxyProtocolOptions options)
    {
        _networks = [.. options.TrustedNetworks.Select(Unmap)];
        _unixSockets = options.TrustUnixSockets;
    }

    /// <param name="remote">The connection's own remote end point.</param>
    public bool Contains(EndPoint? remote) => remote switch
    {
        IPEndPoint { Address: var address } => Contains(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address),
        UnixDomainSocketEndPoint => _unixSockets,
        _ => false,
    };

    private bool Contains(IPAddress address)
    {
        foreach (IPNetwork network in _networks)
        {
            if (network.Contains(address))
            {
                return true;
            }
        }

        return false;
    }

    private static IPNetwork Unmap(IPNetwork network) => network.BaseAddress.IsIPv4MappedToIPv6 && network.PrefixLength >= MappedPrefix
        ? new IPNetwork(network.BaseAddress.MapToIPv4(), network.PrefixLength - MappedPrefix)
        : network;
}
