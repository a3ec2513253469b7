using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests.KernelOptions;

/// <summary>The instruments of what TCP knows: names and units, when they are told, and by how much.</summary>
public class TcpMetricsTests
{
    // Name, unit, type: A80 of github.com/grpc/proposal, and its implementations for the last one.
    private static readonly (string Name, string Unit, Type Type)[] s_instruments =
    [
        ("grpc.tcp.min_rtt", "s", typeof(Histogram<double>)),
        ("grpc.tcp.delivery_rate", "By/s", typeof(Histogram<long>)),
        ("grpc.tcp.packets_sent", "{packet}", typeof(Counter<long>)),
        ("grpc.tcp.packets_retransmitted", "{packet}", typeof(Counter<long>)),
        ("grpc.tcp.packets_spurious_retransmitted", "{packet}", typeof(Counter<long>)),
        ("grpc.tcp.recurring_retransmits", "{packet}", typeof(Counter<long>)),
    ];

    [Fact]
    public async Task OpenConnections_AreToldOfInEachInterval()
    {
        await using Server server = new(TimeSpan.FromMilliseconds(100), listens: true);
        await server.BindAsync();
        await using ConnectionContext client = await server.Clients.ConnectAsync(server.Listener.EndPoint).OrTimeout();
        ConnectionContext accepted = await server.AcceptAsync();
        await SendAsync(from: accepted, to: client);

        // Of both ends, and again and again.
        await server.UntilAsync("grpc.tcp.min_rtt", "#server", told => told.Count >= 3);
        await server.UntilAsync("grpc.tcp.min_rtt", $"{server.Listener.EndPoint}", told => told.Count >= 3);
        await server.UntilAsync("grpc.tcp.packets_sent", "#server", told => told.Sum() == 1);
        await server.UntilAsync("grpc.tcp.packets_sent", $"{server.Listener.EndPoint}", told => told.Sum() == 0);
        Assert.All(server.Told("grpc.tcp.min_rtt", "#server"), seconds => Assert.InRange(seconds, 1e-6, 10));
        Assert.Equal(
            s_instruments.Select(each => (each.Name, (string?)each.Unit, each.Type)),
            server.Instruments.Where(each => each.Name.StartsWith("grpc.", StringComparison.Ordinal)).Select(each => (each.Name, each.Unit, each.GetType())));
        IReadOnlyList<double> seconds = server.Instruments.OfType<Histogram<double>>().First(each => each.Name == "grpc.tcp.min_rtt").Advice!.HistogramBucketBoundaries!;
        IReadOnlyList<long> rates = server.Instruments.OfType<Histogram<long>>().First(each => each.Name == "grpc.tcp.delivery_rate").Advice!.HistogramBucketBoundaries!;
        Assert.Equal((34, 0, 1e-6, 100), (seconds.Count, seconds[0], seconds[1], seconds[^1]));
        Assert.Equal((34, 0, 1024, 1L << 42), (rates.Count, rates[0], rates[1], rates[^1]));
        await accepted.DisposeAsync().OrTimeout();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task ConnectionThatEnds_IsToldOfOnceMore(bool byReset)
    {
        // An hour: nothing but the end can have told it.
        await using Server server = new(TimeSpan.FromHours(1), listens: true);
        await server.BindAsync();
        ConnectionContext client = await server.Clients.ConnectAsync(server.Listener.EndPoint).OrTimeout();
        ConnectionContext accepted = await server.AcceptAsync();
        await SendAsync(from: accepted, to: client);
        Assert.Equal(2, server.Engine.AdoptedSide.Sampling!.Count);

        if (byReset)
        {
            accepted.Abort(new ConnectionAbortedException("Enough."));
        }

        await client.DisposeAsync().OrTimeout();
        await accepted.DisposeAsync().OrTimeout();

        await server.UntilAsync("grpc.tcp.packets_sent", "#server", told => told.Sum() == 1);
        Assert.Single(server.Told("grpc.tcp.min_rtt", "#server"));
        await server.UntilAsync("grpc.tcp.min_rtt", $"{server.Listener.EndPoint}", told => told.Count == 1);
        await Net.UntilAsync(() => server.Engine.AdoptedSide.Sampling.Count == 0);
    }

    [Fact]
    public async Task ConnectionsOpenAtTheEndOfTheTransport_AreToldOf()
    {
        Server server = new(TimeSpan.FromHours(1), listens: true);
        await server.BindAsync();
        ConnectionContext client = await server.Clients.ConnectAsync(server.Listener.EndPoint).OrTimeout();
        ConnectionContext accepted = await server.AcceptAsync();
        await SendAsync(from: accepted, to: client);

        await server.DisposeAsync();

        Assert.Equal(1, server.Told("grpc.tcp.packets_sent", "#server").Sum());
        Assert.Equal(0, server.Engine.AdoptedSide.Sampling!.Count);
    }

    [Fact]
    public async Task NobodyListens_NothingIsAskedOrKept()
    {
        await using Server server = new(TimeSpan.FromMilliseconds(100), listens: false);
        await server.BindAsync();
        ConnectionContext client = await server.Clients.ConnectAsync(server.Listener.EndPoint).OrTimeout();
        ConnectionContext accepted = await server.AcceptAsync();
        await SendAsync(from: accepted, to: client);
        await client.DisposeAsync().OrTimeout();
        await accepted.DisposeAsync().OrTimeout();
        await Net.UntilAsync(() => server.Engine.AdoptedSide.Sampling!.Count == 0);

        // Who begins to listen now is not told of what was before.
        server.Listen();
        ConnectionContext second = await server.Clients.ConnectAsync(server.Listener.EndPoint).OrTimeout();
        ConnectionContext other = await server.AcceptAsync();
        await server.UntilAsync("grpc.tcp.min_rtt", "#server", told => told.Count > 0);
        Assert.Empty(server.Told("grpc.tcp.packets_sent", "#server"));
        await second.DisposeAsync().OrTimeout();
        await other.DisposeAsync().OrTimeout();
    }

    [Fact]
    public async Task WithoutAnInterval_ThereAreNoInstruments()
    {
        await using Server server = new(interval: null, listens: true);
        await server.BindAsync();

        Assert.Null(server.Engine.AdoptedSide.Sampling);
        Assert.DoesNotContain(server.Instruments, each => each.Name.StartsWith("grpc.", StringComparison.Ordinal));
        Assert.NotEmpty(server.Instruments);
    }

    [Fact]
    public async Task UnixConnections_AreNotLookedAt()
    {
        await using Server server = new(TimeSpan.FromMilliseconds(100), listens: true);
        await server.BindAsync(unix: true);
        await using ConnectionContext client = await server.Clients.ConnectAsync(server.Listener.EndPoint).OrTimeout();
        await using ConnectionContext accepted = await server.AcceptAsync();

        Assert.Equal(0, server.Engine.AdoptedSide.Sampling!.Count);
    }

    [Theory]
    [InlineData(50)]
    [InlineData(3_600_001)]
    public void Interval_OutsideItsLimits_IsRefused(int milliseconds)
    {
        EpollTransportOptions options = new() { TcpMetricsInterval = TimeSpan.FromMilliseconds(milliseconds) };

        Assert.StartsWith(
            "EpollTransportOptions.TcpMetricsInterval is ", Assert.Throws<OptionsValidationException>(options.Validate).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Looks_TellWhatCameToTheCounts()
    {
        SampledConnection sampled = new(null!, "it", slot: 0);
        TcpInfoRecord record = new()
        {
            MinRoundTrip = 250,
            DeliveryRate = 1_000,
            DataSegmentsOut = 10,
            TotalRetransmits = 4,
            DuplicatesReported = 1,
            Retransmits = 3,
        };

        Assert.Equal(new TcpSample("it", 0.00025, 1_000, 10, 4, 1, 0), sampled.Take(record, isLast: false));
        Assert.Equal(new TcpSample("it", 0.00025, 1_000, 0, 0, 0, 0), sampled.Take(record, isLast: false));

        // Limited by the application; no round trip measured; a look that another one has overtaken.
        TcpInfoRecord older = record with { Flags = 1, MinRoundTrip = uint.MaxValue, DataSegmentsOut = 7 };
        Assert.Equal(new TcpSample("it", null, null, 0, 0, 0, 0), sampled.Take(older, isLast: false));

        record.DataSegmentsOut = 15;
        Assert.Equal(new TcpSample("it", 0.00025, 1_000, 5, 0, 0, 3), sampled.Take(record, isLast: true));
        Assert.Null(sampled.Take(record, isLast: true));
        Assert.Null(sampled.Take(record, isLast: false));
    }

    [Fact]
    public void Counts_ThatWrapAround_GoOn()
    {
        SampledConnection sampled = new(null!, "it", slot: 0);
        _ = sampled.Take(new TcpInfoRecord { DataSegmentsOut = int.MaxValue }, isLast: false);
        _ = sampled.Take(new TcpInfoRecord { DataSegmentsOut = uint.MaxValue - 1 }, isLast: false);

        Assert.Equal(5, sampled.Take(new TcpInfoRecord { DataSegmentsOut = 3 }, isLast: false)!.Value.Sent);
    }

    [Fact]
    public void Instruments_TellWhatASampleSays()
    {
        using var meter = new Meter(Guid.NewGuid().ToString());
        var told = new ConcurrentDictionary<string, double>();
        using MeterListener listener = Listen(meter.Name, (name, value, _) => told[name] = value);
        TcpMetrics metrics = new(meter);
        listener.Start();
        Assert.True(metrics.IsEnabled);

        metrics.Record(new TcpSample("it", 0.5, 7_000, 6, 5, 4, 3));

        Assert.Equal(
            [0.5, 7_000, 6, 5, 4, 3],
            s_instruments.Select(each => told[each.Name]));
    }

    private static async Task SendAsync(ConnectionContext from, ConnectionContext to)
    {
        _ = await from.Transport.Output.WriteAsync(new byte[100]).OrTimeout();
        _ = await to.Transport.Input.ReadExactlyAsync(100);
    }

    private static MeterListener Listen(string meter, Action<string, double, string> tell)
    {
        var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == meter)
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => tell(instrument.Name, value, Target(tags)));
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => tell(instrument.Name, value, Target(tags)));
        return listener;

        static string Target(ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
            tags.Length == 1 && tags[0].Key == "grpc.target" ? (string)tags[0].Value! : "";
    }

    /// <summary>A transport with a meter of its own, and what was told.</summary>
    private sealed class Server : IAsyncDisposable, IMeterFactory
    {
        private readonly List<Meter> _meters = [];
        private readonly ConcurrentQueue<(string Name, string Target, double Value)> _told = new();
        private readonly ConcurrentQueue<Instrument> _instruments = new();
        private readonly MeterListener _listener = new();
        private IConnectionListener? _bound;
        private bool _disposed;

        public Server(TimeSpan? interval, bool listens)
        {
            _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Tell(instrument, value, tags));
            _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Tell(instrument, value, tags));
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                // Tests run beside each other, and have meters of the same name.
                if (_meters.Contains(instrument.Meter))
                {
                    _instruments.Enqueue(instrument);
                    listener.EnableMeasurementEvents(instrument);
                }
            };
            Engine = new TransportEngine(new EpollTransportOptions { LoopCount = 1, TcpMetricsInterval = interval }, NullLoggerFactory.Instance, meterFactory: this);
            Clients = new EpollConnectionFactory(Engine);
            if (listens)
            {
                Listen();
            }
        }

        public TransportEngine Engine { get; }

        public EpollConnectionFactory Clients { get; }

        public IConnectionListener Listener => _bound!;

        public IEnumerable<Instrument> Instruments => _instruments;

        public void Listen() => _listener.Start();

        public async Task BindAsync(bool unix = false) => _bound = await new EpollTransportFactory(Engine).BindAsync(Net.NewEndPoint(unix)).OrTimeout();

        public async Task<ConnectionContext> AcceptAsync() => await Listener.AcceptAsync().OrTimeout() ?? throw new InvalidOperationException("Unbound.");

        public List<double> Told(string name, string target) => [.. _told.Where(each => each.Name == name && each.Target == target).Select(each => each.Value)];

        public Task UntilAsync(string name, string target, Func<List<double>, bool> holds) => Net.UntilAsync(() => holds(Told(name, target)));

        public Meter Create(MeterOptions options)
        {
            Meter meter = new(options);
            _meters.Add(meter);
            return meter;
        }

        public async ValueTask DisposeAsync()
        {
            if (!_disposed)
            {
                _disposed = true;
                await Listener.DisposeAsync().OrTimeout();
                Engine.Dispose();
                Clients.Dispose();
                Dispose();
            }
        }

        public void Dispose()
        {
            _listener.Dispose();
            _meters.ForEach(static meter => meter.Dispose());
        }

        private void Tell(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            if (tags.Length == 1 && tags[0].Key == "grpc.target")
            {
                _told.Enqueue((instrument.Name, (string)tags[0].Value!, value));
            }
        }
    }
}
