using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Connections;

/// <summary>A connection that <see cref="TcpSampling"/> looks at, and what it had counted by the look before.</summary>
internal sealed class SampledConnection(EpollConnection connection, string target, int slot)
{
    // Under the lock of the sampling.
    private uint _sent;
    private uint _retransmitted;
    private uint _spurious;
    private bool _isOver;

    public EpollConnection Connection { get; } = connection;

    /// <summary>The turn in which it is looked at.</summary>
    public int Slot { get; } = slot;

    /// <summary>Its place in the list of its slot; null: it is in none. Under the lock of the sampling.</summary>
    public LinkedListNode<SampledConnection>? Node { get; set; }

    /// <summary>What a look has to tell; null behind the last one. Under the lock of the sampling.</summary>
    public TcpSample? Take(in TcpInfoRecord record, bool isLast)
    {
        if (_isOver)
        {
            return null;
        }

        _isOver = isLast;
        bool isRateOfPath = record.DeliveryRate > 0 && (record.Flags & 1) == 0;
        return new TcpSample(
            target,
            record.MinRoundTrip is 0 or uint.MaxValue ? null : record.MinRoundTrip / 1e6,
            isRateOfPath ? (long)record.DeliveryRate : null,
            Advance(ref _sent, record.DataSegmentsOut),
            Advance(ref _retransmitted, record.TotalRetransmits),
            Advance(ref _spurious, record.DuplicatesReported),
            isLast ? record.Retransmits : 0);
    }

    // The kernel's counts wrap around. A look that was overtaken by another has nothing to add.
    private static int Advance(ref uint last, uint now)
    {
        int more = (int)(now - last);
        if (more <= 0)
        {
            return 0;
        }

        last = now;
        return more;
    }
}
