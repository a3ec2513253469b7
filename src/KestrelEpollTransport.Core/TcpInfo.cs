using System.Net.NetworkInformation;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport;

/// <summary>
/// What the kernel knew of a TCP connection at one moment: <c>struct tcp_info</c>, tcp(7) and linux/tcp.h. Counts are since the connection
/// began. A segment is what TCP sends at a time. What the running kernel does not tell yet is 0; the version that begins to is named.
/// </summary>
/// <remarks>A Multipath TCP connection tells of its first path.</remarks>
public readonly record struct TcpInfo
{
    private const uint Unknown = uint.MaxValue;

    internal TcpInfo(in TcpInfoRecord record)
    {
        State = ToState(record.State);
        RoundTripTime = Micro(record.RoundTrip);
        RoundTripTimeVariation = Micro(record.RoundTripVariation);
        MinRoundTripTime = record.MinRoundTrip is 0 or Unknown ? null : Micro(record.MinRoundTrip);
        RetransmissionTimeout = Micro(record.RetransmissionTimeout);
        SendSegmentSize = (int)record.SendSegmentSize;
        ReceiveSegmentSize = (int)record.ReceiveSegmentSize;
        PathMtu = (int)record.PathMtu;
        CongestionWindow = record.CongestionWindow;
        SlowStartThreshold = record.SendThreshold;
        SendWindow = record.SendWindow;
        ReceiveSpace = record.ReceiveSpace;
        UnacknowledgedSegments = record.Unacknowledged;
        LostSegments = record.Lost;
        RecurringRetransmits = record.Retransmits;
        RetransmittedSegments = record.TotalRetransmits;
        SpuriouslyRetransmittedSegments = record.DuplicatesReported;
        Reorderings = record.ReorderingSeen;
        SegmentsSent = record.SegmentsOut;
        SegmentsReceived = record.SegmentsIn;
        DataSegmentsSent = record.DataSegmentsOut;
        DataSegmentsReceived = record.DataSegmentsIn;
        BytesSent = (long)record.BytesSent;
        BytesRetransmitted = (long)record.BytesRetransmitted;
        BytesAcknowledged = (long)record.BytesAcknowledged;
        BytesReceived = (long)record.BytesReceived;
        NotSentBytes = record.NotSentBytes;
        DeliveryRate = (long)record.DeliveryRate;
        IsDeliveryRateApplicationLimited = (record.Flags & 1) != 0;
        PacingRate = record.PacingRate == ulong.MaxValue ? null : (long)record.PacingRate;
        BusyTime = Micro(record.BusyTime);
        ReceiveWindowLimitedTime = Micro(record.ReceiveWindowLimited);
        SendBufferLimitedTime = Micro(record.SendBufferLimited);
        TimeSinceLastSend = TimeSpan.FromMilliseconds(record.LastDataSentMs);
        TimeSinceLastReceive = TimeSpan.FromMilliseconds(record.LastDataReceivedMs);
    }

    /// <summary>Where the connection is in TCP's diagram of states (RFC 9293).</summary>
    public TcpState State { get; }

    /// <summary>The smoothed round-trip time (RFC 6298), in steps of 1 µs.</summary>
    public TimeSpan RoundTripTime { get; }

    /// <summary>How much round-trip times vary: their smoothed mean deviation (RFC 6298).</summary>
    public TimeSpan RoundTripTimeVariation { get; }

    /// <summary>
    /// The least round-trip time of the last while (<c>net.ipv4.tcp_min_rtt_wlen</c>, 5 minutes); null: none was measured. Since 4.6.
    /// </summary>
    public TimeSpan? MinRoundTripTime { get; }

    /// <summary>How long TCP waits for an acknowledgement before it sends again (RFC 6298).</summary>
    public TimeSpan RetransmissionTimeout { get; }

    /// <summary>The most bytes of data in a segment that is sent.</summary>
    public int SendSegmentSize { get; }

    /// <summary>The bytes of data in a segment that is received, as estimated.</summary>
    public int ReceiveSegmentSize { get; }

    /// <summary>The largest packet that the path takes, in bytes.</summary>
    public int PathMtu { get; }

    /// <summary>The congestion window, in segments: how many may be on the way.</summary>
    public long CongestionWindow { get; }

    /// <summary>The congestion window, in segments, up to which it grows fast; 2,147,483,647: no loss has set it yet.</summary>
    public long SlowStartThreshold { get; }

    /// <summary>The bytes that the other side has room for. Since 5.4.</summary>
    public long SendWindow { get; }

    /// <summary>The bytes that this side would like to have room for, as the kernel adapts its buffer.</summary>
    public long ReceiveSpace { get; }

    /// <summary>Segments that were sent and are not acknowledged.</summary>
    public long UnacknowledgedSegments { get; }

    /// <summary>Segments that are taken for lost at the moment.</summary>
    public long LostSegments { get; }

    /// <summary>How many times in succession the oldest segment was sent again because its time was over; 0 once it is acknowledged.</summary>
    public int RecurringRetransmits { get; }

    /// <summary>Segments that were sent again. Wraps around at 2^32, as do the other counts of segments.</summary>
    public long RetransmittedSegments { get; }

    /// <summary>Segments that were sent again though they had arrived, as the other side reports (DSACK, RFC 2883). Since 4.19.</summary>
    public long SpuriouslyRetransmittedSegments { get; }

    /// <summary>How often segments were seen to arrive in another order than they were sent in. Since 4.19.</summary>
    public long Reorderings { get; }

    /// <summary>Segments sent, those without data included. Since 4.2.</summary>
    public long SegmentsSent { get; }

    /// <summary>Segments received, those without data included. Since 4.2.</summary>
    public long SegmentsReceived { get; }

    /// <summary>Segments with data that were sent, those sent again included. Since 4.6.</summary>
    public long DataSegmentsSent { get; }

    /// <summary>Segments with data that were received. Since 4.6.</summary>
    public long DataSegmentsReceived { get; }

    /// <summary>Bytes of data sent, those sent again included. Since 4.19.</summary>
    public long BytesSent { get; }

    /// <summary>Bytes of data sent again. Since 4.19.</summary>
    public long BytesRetransmitted { get; }

    /// <summary>Bytes of data that the other side has acknowledged. Since 4.1.</summary>
    public long BytesAcknowledged { get; }

    /// <summary>Bytes of data received; the FIN counts as one. Since 4.1.</summary>
    public long BytesReceived { get; }

    /// <summary>Bytes that the kernel has and that were not sent yet. Since 4.6.</summary>
    public long NotSentBytes { get; }

    /// <summary>Bytes a second that arrived at the other side, as measured last; 0: not measured. Since 4.9.</summary>
    public long DeliveryRate { get; }

    /// <summary>Whether <see cref="DeliveryRate"/> says how much the application sent, and not how much the path takes. Since 4.9.</summary>
    public bool IsDeliveryRateApplicationLimited { get; }

    /// <summary>The bytes a second that TCP spreads what it sends to; null: without limit.</summary>
    public long? PacingRate { get; }

    /// <summary>How long, in all, something was waiting to be sent or acknowledged. Since 4.10.</summary>
    public TimeSpan BusyTime { get; }

    /// <summary>Of that, how long the other side had no room. Since 4.10.</summary>
    public TimeSpan ReceiveWindowLimitedTime { get; }

    /// <summary>Of that, how long the send buffer was too small. Since 4.10.</summary>
    public TimeSpan SendBufferLimitedTime { get; }

    /// <summary>How long ago data was sent last.</summary>
    public TimeSpan TimeSinceLastSend { get; }

    /// <summary>How long ago data was received last.</summary>
    public TimeSpan TimeSinceLastReceive { get; }

    private static TimeSpan Micro(ulong microseconds) => new((long)Math.Min(microseconds, long.MaxValue / 10) * 10);

    // net/tcp_states.h: the kernel's numbers.
    private static TcpState ToState(byte state) => state switch
    {
        1 => TcpState.Established,
        2 => TcpState.SynSent,
        3 or 12 => TcpState.SynReceived,
        4 => TcpState.FinWait1,
        5 => TcpState.FinWait2,
        6 => TcpState.TimeWait,
        7 => TcpState.Closed,
        8 => TcpState.CloseWait,
        9 => TcpState.LastAck,
        10 => TcpState.Listen,
        11 => TcpState.Closing,
        _ => TcpState.Unknown,
    };
}
