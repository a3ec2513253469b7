using System.Runtime.InteropServices;

namespace KestrelEpollTransport.Native;

/// <summary>
/// <c>struct tcp_info</c> of linux/tcp.h, which grows at its end: what the running kernel does not know yet is 0.
/// </summary>
/// <remarks>Source: linux/tcp.h of 6.1. Later members are left out. Times are in µs unless they say otherwise.</remarks>
[StructLayout(LayoutKind.Sequential)]
internal struct TcpInfoRecord
{
    public byte State;
    public byte CongestionState;
    public byte Retransmits;
    public byte Probes;
    public byte Backoff;
    public byte Options;

    /// <summary>Two of 4 bits: the send and the receive window's.</summary>
    public byte WindowScales;

    /// <summary>Bit 0: tcpi_delivery_rate_app_limited.</summary>
    public byte Flags;

    public uint RetransmissionTimeout;
    public uint AckTimeout;
    public uint SendSegmentSize;
    public uint ReceiveSegmentSize;
    public uint Unacknowledged;
    public uint Sacked;
    public uint Lost;
    public uint Retransmitted;
    public uint Fackets;
    public uint LastDataSentMs;
    public uint LastAckSentMs;
    public uint LastDataReceivedMs;
    public uint LastAckReceivedMs;
    public uint PathMtu;
    public uint ReceiveThreshold;
    public uint RoundTrip;
    public uint RoundTripVariation;
    public uint SendThreshold;
    public uint CongestionWindow;
    public uint AdvertisedSegmentSize;
    public uint Reordering;
    public uint ReceiveRoundTrip;
    public uint ReceiveSpace;
    public uint TotalRetransmits;
    public ulong PacingRate;
    public ulong MaxPacingRate;
    public ulong BytesAcknowledged;
    public ulong BytesReceived;
    public uint SegmentsOut;
    public uint SegmentsIn;
    public uint NotSentBytes;
    public uint MinRoundTrip;
    public uint DataSegmentsIn;
    public uint DataSegmentsOut;
    public ulong DeliveryRate;
    public ulong BusyTime;
    public ulong ReceiveWindowLimited;
    public ulong SendBufferLimited;
    public uint Delivered;
    public uint DeliveredCe;
    public ulong BytesSent;
    public ulong BytesRetransmitted;
    public uint DuplicatesReported;
    public uint ReorderingSeen;
    public uint ReceivedOutOfOrder;
    public uint SendWindow;
}
