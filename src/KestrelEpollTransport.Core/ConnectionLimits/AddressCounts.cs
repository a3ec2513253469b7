using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.ConnectionLimits;

/// <summary>How many connections each network has. Thread-safe; a network without connections takes no memory.</summary>
internal sealed class AddressCounts(int most, int ipv4Prefix, int ipv6Prefix)
{
    private const int Bits = 128;
    private const int AddressBytes = Bits / 8;

    /// <summary>How many bits of ::ffff:a.b.c.d are in front of the IPv4 address: all are kept in that form.</summary>
    private const int MappedPrefix = 96;

    private readonly Lock _lock = new();
    private readonly Dictionary<UInt128, int> _counts = [];

    public int Most => most;

    /// <summary>The network of an address, as a number.</summary>
    public UInt128 GetNetwork(IPAddress address)
    {
        int prefix = address.AddressFamily == AddressFamily.InterNetwork || address.IsIPv4MappedToIPv6 ? MappedPrefix + ipv4Prefix : ipv6Prefix;
        Span<byte> bytes = stackalloc byte[AddressBytes];
        address.MapToIPv6().TryWriteBytes(bytes, out _);
        return prefix == 0 ? UInt128.Zero : BinaryPrimitives.ReadUInt128BigEndian(bytes) & (UInt128.MaxValue << (Bits - prefix));
    }

    /// <summary>Counts one more connection. False: there are as many as may be, and it was not counted.</summary>
    public bool TryAdd(UInt128 network)
    {
        using (_lock.Hold())
        {
            ref int count = ref CollectionsMarshal.GetValueRefOrAddDefault(_counts, network, out _);
            if (count >= most)
            {
                return false;
            }

            count++;
            return true;
        }
    }

    public void Remove(UInt128 network)
    {
        using (_lock.Hold())
        {
            ref int count = ref CollectionsMarshal.GetValueRefOrNullRef(_counts, network);
            if (--count == 0)
            {
                _counts.Remove(network);
            }
        }
    }
}
