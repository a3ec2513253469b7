using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The options that both transports have, with the defaults of both, and the number of our loops.</summary>
internal sealed class TransportSettings
{
    /// <summary>Sockets has none. With one, all connections share it.</summary>
    public int LoopCount { get; set; } = 2;

    public long? MaxReadBufferSize { get; set; } = 1024 * 1024;

    public long? MaxWriteBufferSize { get; set; } = 64 * 1024;

    public int Backlog { get; set; } = 512;

    public bool NoDelay { get; set; } = true;

    public Func<EndPoint, Socket>? CreateBoundListenSocket { get; set; }

    /// <summary>Sets options that Sockets does not have.</summary>
    public Action<EpollTransportOptions>? ConfigureOurs { get; set; }

    public void ApplyTo(SocketTransportOptions options)
    {
        options.MaxReadBufferSize = MaxReadBufferSize;
        options.MaxWriteBufferSize = MaxWriteBufferSize;
        options.Backlog = Backlog;
        options.NoDelay = NoDelay;
        options.CreateBoundListenSocket = CreateBoundListenSocket ?? options.CreateBoundListenSocket;
    }

    public void ApplyTo(EpollTransportOptions options, TransportKind kind)
    {
        options.Scheduling = kind.Scheduling();
        options.LoopCount = LoopCount;
        options.ScheduleContinuations = kind == TransportKind.EpollContinuations;
        if (options.Scheduling == ApplicationScheduling.Adaptive)
        {
            // More threads than most machines would have, and called whenever an event is left.
            options.DriversPerLoop = 3;
            options.CallAfter = TimeSpan.Zero;
        }

        options.MaxReadBufferSize = MaxReadBufferSize;
        options.MaxWriteBufferSize = MaxWriteBufferSize;
        options.Backlog = Backlog;
        options.NoDelay = NoDelay;
        options.CreateBoundListenSocket = CreateBoundListenSocket ?? options.CreateBoundListenSocket;
        ConfigureOurs?.Invoke(options);
    }
}
