using System.Diagnostics.Metrics;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Diagnostics;

/// <summary>The instruments of what TCP knows of connections, with the names, units, boundaries and label of gRPC's proposal A80. Thread-safe.</summary>
/// <remarks>
/// A80-grpc-metrics-for-tcp-connection.md of github.com/grpc/proposal, as of 2025-06-27, in review. recurring_retransmits is of its implementations and of
/// other versions of it. The label grpc.target is <see cref="ServerTarget"/> for connections that were accepted.
/// </remarks>
internal sealed class TcpMetrics
{
    /// <summary>The label of connections that were accepted, or handed to the transport.</summary>
    public const string ServerTarget = "#server";

    private readonly Histogram<double> _minRoundTrip;
    private readonly Histogram<long> _deliveryRate;
    private readonly Counter<long> _sent;
    private readonly Counter<long> _retransmitted;
    private readonly Counter<long> _spurious;
    private readonly Counter<long> _recurring;

    public TcpMetrics(Meter meter)
    {
        _minRoundTrip = meter.CreateHistogram(
            "grpc.tcp.min_rtt", "s", "TCP's least round-trip time of a connection, at each look.", tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = MinRoundTripBoundaries() });
        _deliveryRate = meter.CreateHistogram(
            "grpc.tcp.delivery_rate", "By/s", "What the path of a connection took when it was full, at each look.", tags: null,
            new InstrumentAdvice<long> { HistogramBucketBoundaries = DeliveryRateBoundaries() });
        _sent = meter.CreateCounter<long>("grpc.tcp.packets_sent", "{packet}", "TCP segments with data that were sent, those sent again included.");
        _retransmitted = meter.CreateCounter<long>("grpc.tcp.packets_retransmitted", "{packet}", "TCP segments that were sent again.");
        _spurious = meter.CreateCounter<long>("grpc.tcp.packets_spurious_retransmitted", "{packet}", "TCP segments that were sent again though they had arrived.");
        _recurring = meter.CreateCounter<long>(
            "grpc.tcp.recurring_retransmits", "{packet}", "How many times in succession connections had sent their oldest segment again when they closed.");
    }

    /// <summary>Whether anybody listens.</summary>
    public bool IsEnabled =>
        _minRoundTrip.Enabled || _deliveryRate.Enabled || _sent.Enabled || _retransmitted.Enabled || _spurious.Enabled || _recurring.Enabled;

    public void Record(in TcpSample sample)
    {
        KeyValuePair<string, object?> target = new("grpc.target", sample.Target);
        try
        {
            if (sample.MinRoundTripSeconds is { } minRoundTrip)
            {
                _minRoundTrip.Record(minRoundTrip, target);
            }

            if (sample.DeliveryRate is { } rate)
            {
                _deliveryRate.Record(rate, target);
            }

            Add(_sent, sample.Sent);
            Add(_retransmitted, sample.Retransmitted);
            Add(_spurious, sample.Spurious);
            Add(_recurring, sample.Recurring);
        }
#pragma warning disable CA1031 // A listener of the application threw. The next sample is none of its business.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Uninterrupted.RaiseAgain(exception is ThreadInterruptedException);
        }

        void Add(Counter<long> counter, long count)
        {
            if (count > 0)
            {
                counter.Add(count, target);
            }
        }
    }

    // 0, then 1, 2.5, 5 and 7.5 times each power of ten from 1 µs to 10 s, and 100 s.
    private static double[] MinRoundTripBoundaries() =>
    [
        0, 0.000001, 0.0000025, 0.000005, 0.0000075, 0.00001, 0.000025, 0.00005, 0.000075, 0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0025, 0.005, 0.0075,
        0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 25, 50, 75, 100,
    ];

    // 0, then each power of two from 1 KiB to 4 TiB.
    private static long[] DeliveryRateBoundaries() => [0, .. Enumerable.Range(10, 33).Select(static power => 1L << power)];
}
