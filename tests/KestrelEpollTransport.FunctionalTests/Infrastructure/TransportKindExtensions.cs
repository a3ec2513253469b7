using System.Buffers;
using System.Diagnostics.Metrics;
using KestrelEpollTransport.Native.Bsd;
using KestrelEpollTransport.Polling;
using KestrelEpollTransport.Tests;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests;

internal static class TransportKindExtensions
{
    /// <summary>The kinds that this machine can run: the model is one over Linux's epoll.</summary>
    public static IEnumerable<TransportKind> All { get; } =
        Enum.GetValues<TransportKind>().Where(static kind => kind != TransportKind.KqueueModel || OperatingSystem.IsLinux());

    public static bool IsOurs(this TransportKind kind) => kind != TransportKind.Sockets;

    /// <summary>What makes the loops' pollers; null: the system's own.</summary>
    public static Func<Poller>? CreatePoller(this TransportKind kind) =>
        kind == TransportKind.KqueueModel ? static () => KqueueModel.CreatePoller(KqueueNumbers.Darwin) : null;

    public static EpollTransportFactory CreateListenerFactory(this TransportKind kind, IOptions<EpollTransportOptions> options, ILoggerFactory logs) =>
        kind.CreateEngine(options, logs) is { } engine ? new(engine, ownsEngine: true) : new(options, logs);

    public static EpollConnectionFactory CreateConnectionFactory(this TransportKind kind, IOptions<EpollTransportOptions> options, ILoggerFactory logs) =>
        kind.CreateEngine(options, logs) is { } engine ? new(engine, ownsEngine: true) : new(options, logs);

    public static EpollConnectionContextFactory CreateContextFactory(this TransportKind kind, IOptions<EpollTransportOptions> options, ILoggerFactory logs) =>
        kind.CreateEngine(options, logs) is { } engine ? new(engine, ownsEngine: true) : new(options, logs);

    /// <summary>Has a container's loops use the poller of <paramref name="kind"/>: the last registration is the one that is asked.</summary>
    public static IServiceCollection UsePollerOf(this IServiceCollection services, TransportKind kind) =>
        kind.CreatePoller() is not { } createPoller ? services : services.AddSingleton(provider => new TransportEngine(
            provider.GetRequiredService<IOptions<EpollTransportOptions>>().Value,
            provider.GetRequiredService<ILoggerFactory>(),
            provider.GetService<IMemoryPoolFactory<byte>>(),
            provider.GetService<IMeterFactory>(),
            createPoller));

    /// <summary>The category that the transport logs to.</summary>
    public static string LogCategory(this TransportKind kind) => kind == TransportKind.Sockets
        ? "Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets"
        : "KestrelEpollTransport";

    public static ApplicationScheduling Scheduling(this TransportKind kind) => kind switch
    {
        TransportKind.EpollThreadPool or TransportKind.KqueueModel => ApplicationScheduling.ThreadPool,
        TransportKind.EpollInline => ApplicationScheduling.UnsafeInline,
        TransportKind.EpollAdaptive or TransportKind.EpollContinuations => ApplicationScheduling.Adaptive,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "Only our transport has scheduling modes."),
    };

    private static TransportEngine? CreateEngine(this TransportKind kind, IOptions<EpollTransportOptions> options, ILoggerFactory logs) =>
        kind.CreatePoller() is { } createPoller ? new TransportEngine(options.Value, logs, createPoller: createPoller) : null;
}
