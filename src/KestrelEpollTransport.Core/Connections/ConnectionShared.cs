using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Scheduling;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Connections;

/// <summary>What all connections of one transport have in common. Immutable.</summary>
/// <param name="Logger">Where the life of connections is logged.</param>
/// <param name="Metrics">Where their dispatches are counted.</param>
/// <param name="Scheduler">Where resumed connections run.</param>
/// <param name="Watch">Bounds the wait of marked bytes.</param>
/// <param name="Lingerers">Bounds the time of connections that said FIN first.</param>
/// <param name="History">How the dispatches of such connections begin; null: they are not measured.</param>
/// <param name="Continuations">What is known of code that their <see cref="ApplicationContext"/> runs; null: they have none.</param>
/// <param name="MayBeDuplicated">Whether others may have duplicates of the descriptors, so that closing ends no registration.</param>
/// <param name="Sampling">Looks at what TCP knows of them; null: nobody does.</param>
/// <param name="Totals">Of those that have ended.</param>
/// <param name="MaxReadBufferSize">Bytes; <see cref="long.MaxValue"/>: unlimited.</param>
/// <param name="MaxWriteBufferSize">Bytes; <see cref="long.MaxValue"/>: unlimited.</param>
internal sealed record ConnectionShared(
    ILogger Logger,
    TransportMetrics Metrics,
    ConnectionScheduler Scheduler,
    FlushWatch Watch,
    LingerList Lingerers,
    DispatchHistory? History,
    ContinuationHistories? Continuations,
    bool MayBeDuplicated,
    TcpSampling? Sampling,
    ConnectionTotals Totals,
    long MaxReadBufferSize,
    long MaxWriteBufferSize)
{
    /// <summary>Whether we made the connections.</summary>
    public bool IsClient { get; init; }

    /// <summary>From this many queued bytes on a flush sends: a larger call gains nothing more.</summary>
    private const int GatherLimit = 32 * 1024;

    /// <summary>With fewer bytes left a flush that waits goes on.</summary>
    public long ResumeFlushBelow { get; } = Math.Max(MaxWriteBufferSize / 2, 1);

    /// <summary>
    /// After so many bytes that a connection has sent, since a dispatch of it began or a flush was resumed, a flush that has room <i>gives way</i>: it
    /// waits for its resume, which is queued behind what is ready. <see cref="long.MaxValue"/>: none does. So it is with an unlimited bound, where a
    /// flush never waits; and with <see cref="ApplicationScheduling.UnsafeInline"/>, where a handler that blocks until its flush is resumed would hold
    /// the loop that is to do it.
    /// </summary>
    /// <remarks>
    /// Twice as much would do for fairness, as it does for the reader. But BBR paces who sends again at once, with a timer for each segment: 16
    /// downloads of 1 MiB on loopback took 325 µs each with 256 KiB, 590 without, and between the two, run by run, with 512 KiB; with cubic 300 with
    /// all three.
    /// </remarks>
    public long FlushedPerTurn { get; } = MaxWriteBufferSize == long.MaxValue || Scheduler is InlineScheduler ? long.MaxValue : ConnectionWriter.BytesPerTurn;

    /// <summary>From this many queued bytes on a flush sends. What is only marked must not make a flush wait.</summary>
    public long GatherBelow { get; } = Math.Min(GatherLimit, MaxWriteBufferSize);
}
