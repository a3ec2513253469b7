using System.Buffers;
using System.Diagnostics.Metrics;
using System.Net;
using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Connections;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Listening;
using KestrelEpollTransport.Loops;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Polling;
using KestrelEpollTransport.Scheduling;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>
/// What the public factories of one container share: the checked options, the loops, the memory and the logs.
/// Lives as long as the container. Thread-safe.
/// </summary>
internal sealed class TransportEngine : IDisposable
{
    private const string LogCategory = "KestrelEpollTransport";

    // One pool a loop: its blocks move between few threads.
    private readonly BlockSource[] _blocks;
    private readonly SchedulingParts _scheduling;
    private readonly OwnWaitTimer? _ownWaits;
    private readonly LingerList _lingerers = new();
    private readonly TcpSampling? _sampling;

    // Never disposed of: it has no timer, and late callers may ask for its token.
#pragma warning disable CA2213
    private readonly CancellationTokenSource _disposing = new();
#pragma warning restore CA2213

    /// <exception cref="OptionsValidationException">Options are outside their limits.</exception>
    public TransportEngine(
        EpollTransportOptions options, ILoggerFactory loggerFactory, IMemoryPoolFactory<byte>? poolFactory = null, IMeterFactory? meterFactory = null,
        Func<Poller>? createPoller = null, ServingNotice? serving = null)
    {
        // Whoever has the options may set them at any time.
        options = options.Snapshot();
        options.Validate();
        Options = options;
        Serving = serving ?? new ServingNotice();
        SocketSettings = options.Sockets.ToSettings();
        Logger = new GuardedLogger(loggerFactory.CreateLogger(LogCategory));
        _scheduling = new SchedulingParts(options, Logger, createPoller);
        _ownWaits = options.Scheduling == ApplicationScheduling.UnsafeInline ? new OwnWaitTimer(Loops, Logger) : null;
        IsPlatformSupported = createPoller is not null || Poller.IsSupported;
        ConnectionTotals ended = new();
        Metrics = new TransportMetrics(meterFactory, new TransportFigures(this, ended, _scheduling.Workers), Counters);

        _sampling = options.TcpMetricsInterval is { } interval && SystemCalls.HasOption(KernelOption.TCP_INFO) ? new TcpSampling(Metrics.AddTcp(), interval) : null;
        Headroom = new DescriptorHeadroom(() => Loops.Load);
        _blocks = new BlockSource[options.LoopCount];
        for (int i = 0; i < _blocks.Length; i++)
        {
            // "kestrel" is the owner that the memory pool's metrics know.
            _blocks[i] = new BlockSource(poolFactory?.Create(new MemoryPoolOptions { Owner = "kestrel" }) ?? MemoryPool<byte>.Shared);
        }

        // None where scheduling is not adaptive: continuations go to the thread pool then.
        ContinuationHistories? continuations = Counters is null ? null : new ContinuationHistories(() => _scheduling.CreateHistory()!);
        FlushWatch flushes = new(_scheduling.Watch, _scheduling.Workers, Logger);
        _scheduling.Watch.Add(flushes);
        AdoptedSide = new ConnectionShared(
            Logger, Metrics, _scheduling.Scheduler, flushes, _lingerers, _scheduling.CreateHistory(), continuations, MayBeDuplicated: true, _sampling, ended, Limit(options.MaxReadBufferSize), Limit(options.MaxWriteBufferSize));
        ClientSide = CreateSide() with { Logger = new GuardedLogger(loggerFactory.CreateLogger(LogCategory + ".Client")), IsClient = true };
    }

    /// <summary>A copy that nobody changes.</summary>
    public EpollTransportOptions Options { get; }

    /// <summary>Who tells the log what is served.</summary>
    public ServingNotice Serving { get; }

    /// <summary>What they ask of the kernel for sockets.</summary>
    public SocketSettings SocketSettings { get; }

    /// <summary>Cancelled when the transport is about to end: for what no loop knows at that moment, such as a listener that pauses.</summary>
    public CancellationToken Disposing => _disposing.Token;

    public ILogger Logger { get; }

    public LoopGroup Loops => _scheduling.Loops;

    public TransportMetrics Metrics { get; }

    /// <summary>See <see cref="SchedulingParts.Counters"/>.</summary>
    public SchedulingCounters? Counters => _scheduling.Counters;

    /// <summary>The descriptors that accepted connections leave to others.</summary>
    public DescriptorHeadroom Headroom { get; }

    /// <summary>The endpoints that are bound.</summary>
    public ListenerSet Listeners { get; } = new();

    /// <summary>For connections that were given to us.</summary>
    public ConnectionShared AdoptedSide { get; }

    /// <summary>For connections that we made.</summary>
    public ConnectionShared ClientSide { get; }

    /// <summary>Whether this machine has a poller. Settable for tests of the fallback.</summary>
    public bool IsPlatformSupported { get; init; }

    /// <summary>For the connections of one endpoint.</summary>
    public ConnectionShared CreateSide() => AdoptedSide with { History = _scheduling.CreateHistory(), MayBeDuplicated = false };

    /// <summary>
    /// Closes the connection that has lingered longest, if there is one: what it still waits for matters less than that new connections
    /// can be accepted. True: a descriptor is, or soon will be, free.
    /// </summary>
    public bool TryCloseLingerer() => _lingerers.TryCloseOldest();

    /// <summary>What a failed call means to the caller of <paramref name="factory"/>: once the transport is disposed of, loops refuse everything.</summary>
    public Exception ToException(int errno, string factory) =>
        Disposing.IsCancellationRequested ? new ObjectDisposedException(factory) : Errno.ToException(errno);

    /// <summary>How many connections live, without those that have ended on our side and only wait for the other one. A hint.</summary>
    public int CountInUse() => Loops.Load - _lingerers.Count;

    /// <summary>Unbinds every endpoint: see <see cref="EpollListener.UnbindBehindHandshakesAsync"/>.</summary>
    public Task UnbindAllAsync(TimeSpan handshakes) =>
        Task.WhenAll(Array.ConvertAll(Listeners.Snapshot(), listener => listener.UnbindBehindHandshakesAsync(handshakes)));

    /// <summary>See <see cref="EpollConnection.TryStart"/>. If it throws, the descriptor is still the caller's.</summary>
    public EpollConnection? TryStart(
        ConnectionShared shared, EventLoop loop, int descriptor, bool isTcp, EndPoint? local, EndPoint? remote, out int errno) =>
        EpollConnection.TryStart(shared, loop, _blocks[loop.Index], descriptor, isTcp, local, remote, out errno);

    /// <summary>Unbinds the listeners, aborts the connections that are left, then stops the loops.</summary>
    public void Dispose()
    {
        _disposing.Cancel();
        _scheduling.Dispose();
        _ownWaits?.Dispose();
        _lingerers.Dispose();
        _sampling?.Dispose();
        Metrics.Dispose();
        foreach (BlockSource blocks in _blocks)
        {
            blocks.Dispose();
        }
    }

    private static long Limit(long? option) => option is null or 0 ? long.MaxValue : option.Value;
}
