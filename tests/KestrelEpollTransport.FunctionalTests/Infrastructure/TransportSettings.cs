using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The options that both transports have; what is left null keeps the transport's own default.</summary>
internal sealed class TransportSettings
{
    public long? MaxReadBufferSize { get; set; }

    public long? MaxWriteBufferSize { get; set; }

    public int? Backlog { get; set; }

    public bool? NoDelay { get; set; }

    public Func<EndPoint, Socket>? CreateBoundListenSocket { get; set; }

    public void ApplyTo(SocketTransportOptions options)
    {
        options.MaxReadBufferSize = MaxReadBufferSize ?? options.MaxReadBufferSize;
        options.MaxWriteBufferSize = MaxWriteBufferSize ?? options.MaxWriteBufferSize;
        options.Backlog = Backlog ?? options.Backlog;
        options.NoDelay = NoDelay ?? options.NoDelay;
        options.CreateBoundListenSocket = CreateBoundListenSocket ?? options.CreateBoundListenSocket;
    }

    public void ApplyTo(EpollTransportOptions options, TransportKind kind)
    {
        options.Scheduling = kind.Scheduling();
        options.LoopCount = 2;
        options.MaxReadBufferSize = MaxReadBufferSize ?? options.MaxReadBufferSize;
        options.MaxWriteBufferSize = MaxWriteBufferSize ?? options.MaxWriteBufferSize;
        options.Backlog = Backlog ?? options.Backlog;
        options.NoDelay = NoDelay ?? options.NoDelay;
        options.CreateBoundListenSocket = CreateBoundListenSocket ?? options.CreateBoundListenSocket;
    }
}
