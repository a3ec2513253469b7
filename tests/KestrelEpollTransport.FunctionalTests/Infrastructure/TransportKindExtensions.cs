namespace KestrelEpollTransport.FunctionalTests;

internal static class TransportKindExtensions
{
    public static bool IsEpoll(this TransportKind kind) => kind != TransportKind.Sockets;

    /// <summary>The category that the transport logs to.</summary>
    public static string LogCategory(this TransportKind kind) => kind == TransportKind.Sockets
        ? "Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets"
        : "KestrelEpollTransport";

    public static ApplicationScheduling Scheduling(this TransportKind kind) => kind switch
    {
        TransportKind.EpollThreadPool => ApplicationScheduling.ThreadPool,
        TransportKind.EpollInline => ApplicationScheduling.UnsafeInline,
        TransportKind.EpollAdaptive => ApplicationScheduling.Adaptive,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "Only the epoll transport has scheduling modes."),
    };
}
