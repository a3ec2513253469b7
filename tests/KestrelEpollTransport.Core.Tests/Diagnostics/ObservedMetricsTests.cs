using System.Diagnostics.Metrics;
using KestrelEpollTransport.Diagnostics;

namespace KestrelEpollTransport.Tests.Diagnostics;

/// <summary>Which figure each observed instrument tells, and under which tag.</summary>
public sealed class ObservedMetricsTests : IDisposable
{
    private const string Prefix = "epoll_transport.";

    private readonly Meter _meter = new(Guid.NewGuid().ToString());

    public void Dispose() => _meter.Dispose();

    [Fact]
    public void Instruments_OfTheTransport_TellTheirFigures()
    {
        ObservedMetrics.Add(_meter, new Figures(), static () => [(1, "tcp"), (2, "unix")]);

        Assert.Equal(
            [
                "connections.accepted counts network.transport=tcp: 1",
                "connections.accepted counts network.transport=unix: 2",
                "connections.paused network.io.direction=receive: 33",
                "connections.paused network.io.direction=transmit: 34",
                "loop.busy_time counts epoll_transport.loop=3: 1.5",
                "loop.busy_time counts epoll_transport.loop=5: 2.5",
                "loop.connections epoll_transport.loop=3: 11",
                "loop.connections epoll_transport.loop=5: 21",
                "loop.events counts epoll_transport.loop=3: 13",
                "loop.events counts epoll_transport.loop=5: 23",
                "loop.waits counts epoll_transport.loop=3: 12",
                "loop.waits counts epoll_transport.loop=5: 22",
                "network.io counts network.io.direction=receive: 31",
                "network.io counts network.io.direction=transmit: 32",
                "queue.length epoll_transport.queue=accepted: 35",
                "queue.length epoll_transport.queue=loop: 36",
                "queue.length epoll_transport.queue=worker: 37",
            ],
            Told());
    }

    [Fact]
    public void Instruments_OfScheduling_TellTheirFigures()
    {
        SchedulingCounters counters = new(loopCount: 2);
        Repeat(1, () => counters.Dispatches.RanOnLoop(0));
        Repeat(1, () => counters.Dispatches.RanOnLoop(1));
        Repeat(3, () => counters.Dispatches.RanOffLoop(onWorker: true));
        Repeat(4, () => counters.Dispatches.RanOffLoop(onWorker: false));
        Repeat(5, () => counters.Continuations.RanOnLoop(1));
        Repeat(6, () => counters.Continuations.RanOffLoop(onWorker: true));
        Repeat(7, () => counters.Continuations.RanOffLoop(onWorker: false));
        Repeat(8, counters.HandedOff);
        Repeat(9, () => counters.Moved(toLoop: false));
        Repeat(10, () => counters.Moved(toLoop: true));
        ObservedMetrics.AddScheduling(_meter, new Figures(), counters);

        Assert.Equal(
            [
                "continuations counts epoll_transport.thread=loop: 5",
                "continuations counts epoll_transport.thread=thread_pool: 7",
                "continuations counts epoll_transport.thread=worker: 6",
                "demotions counts: 9",
                "dispatches counts epoll_transport.thread=loop: 2",
                "dispatches counts epoll_transport.thread=thread_pool: 4",
                "dispatches counts epoll_transport.thread=worker: 3",
                "hand_offs counts: 8",
                "promotions counts: 10",
                "workers.busy: 39",
                "workers.limit: 40",
                "workers: 38",
            ],
            Told());
    }

    private static void Repeat(int times, Action count)
    {
        for (int i = 0; i < times; i++)
        {
            count();
        }
    }

    // In the order of their names. What counts never falls.
    private string[] Told()
    {
        List<string> told = [];
        using MeterListener listener = new();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter == _meter)
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Tell(instrument, value, tags));
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Tell(instrument, value, tags));
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Tell(instrument, value, tags));
        listener.Start();
        listener.RecordObservableInstruments();
        return [.. told.Order(StringComparer.Ordinal)];

        void Tell<T>(Instrument instrument, T value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
            where T : struct
        {
            Assert.StartsWith(Prefix, instrument.Name, StringComparison.Ordinal);
            string counts = instrument is ObservableCounter<T> ? " counts" : "";
            told.Add(FormattableString.Invariant(
                $"{instrument.Name[Prefix.Length..]}{counts}{string.Concat(tags.ToArray().Select(static tag => $" {tag.Key}={tag.Value}"))}: {value}"));
        }
    }

    private sealed class Figures : ITransportFigures
    {
        public LoopFigures[] GetLoops() => [new(3, 11, 12, 13, 1.5), new(5, 21, 22, 23, 2.5)];

        public ByteFigures GetBytes() => new(31, 32);

        public PausedFigures GetPaused() => new(33, 34);

        public QueueFigures GetQueues() => new(35, 36, 37);

        public WorkerFigures GetWorkers() => new(38, 39, 40);
    }
}
