using System.Runtime.InteropServices;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Tests.Native;

/// <summary>The kernel's structure against its header.</summary>
public class TcpInfoRecordTests
{
    /// <remarks>Source: linux/tcp.h of 6.1: 8 bytes, 24 of 4, 4 of 8, 6 of 4, 4 of 8, 2 of 4, 2 of 8, 4 of 4.</remarks>
    [Fact]
    public void Members_LieWhereTheHeaderHasThem()
    {
        (string Name, int Offset)[] members =
        [
            (nameof(TcpInfoRecord.State), 0), (nameof(TcpInfoRecord.Retransmits), 2), (nameof(TcpInfoRecord.Flags), 7), (nameof(TcpInfoRecord.RetransmissionTimeout), 8),
            (nameof(TcpInfoRecord.RoundTrip), 68), (nameof(TcpInfoRecord.TotalRetransmits), 100), (nameof(TcpInfoRecord.PacingRate), 104),
            (nameof(TcpInfoRecord.BytesReceived), 128), (nameof(TcpInfoRecord.SegmentsOut), 136), (nameof(TcpInfoRecord.MinRoundTrip), 148),
            (nameof(TcpInfoRecord.DataSegmentsOut), 156), (nameof(TcpInfoRecord.DeliveryRate), 160), (nameof(TcpInfoRecord.SendBufferLimited), 184),
            (nameof(TcpInfoRecord.Delivered), 192), (nameof(TcpInfoRecord.BytesSent), 200), (nameof(TcpInfoRecord.DuplicatesReported), 216),
            (nameof(TcpInfoRecord.SendWindow), 228),
        ];

        Assert.All(members, member => Assert.Equal(member.Offset, (int)Marshal.OffsetOf<TcpInfoRecord>(member.Name)));
        Assert.Equal(232, Marshal.SizeOf<TcpInfoRecord>());
    }
}
