using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Options;
using RandomEnds.Plans;

namespace RandomEnds.Transports;

/// <summary>One transport with the options that the plans count on. Any thread may bind.</summary>
internal sealed class TransportUnderTest : IDisposable
{
    private readonly IConnectionListenerFactory _factory;

    public TransportUnderTest(Subject subject)
    {
        _factory = subject switch
        {
            Subject.Sockets => CreateSockets(),
            Subject.Adaptive => CreateOurs(ApplicationScheduling.Adaptive),
            Subject.ThreadPool => CreateOurs(ApplicationScheduling.ThreadPool),
            _ => CreateOurs(ApplicationScheduling.UnsafeInline),
        };
    }

    public LogWatch Logs { get; } = new();

    public ValueTask<IConnectionListener> BindAsync(Family family) => _factory.BindAsync(family == Family.Tcp
        ? new IPEndPoint(IPAddress.Loopback, 0)
        : new UnixDomainSocketEndPoint($"\0random-ends-{Guid.NewGuid():N}"));

    public void Dispose() => (_factory as IDisposable)?.Dispose();

    private SocketTransportFactory CreateSockets() => new(
        Options.Create(new SocketTransportOptions
        {
            MaxReadBufferSize = Limits.MaxReadBufferSize,
            MaxWriteBufferSize = Limits.MaxWriteBufferSize,
            CreateBoundListenSocket = CreateListenSocket,
        }),
        Logs);

    private EpollTransportFactory CreateOurs(ApplicationScheduling scheduling) => new(
        Options.Create(new EpollTransportOptions
        {
            Scheduling = scheduling,
            LoopCount = 2,
            MaxReadBufferSize = Limits.MaxReadBufferSize,
            MaxWriteBufferSize = Limits.MaxWriteBufferSize,
            CreateBoundListenSocket = CreateListenSocket,
        }),
        Logs);

    private static Socket CreateListenSocket(EndPoint endpoint)
    {
        Socket socket = EpollTransportOptions.CreateDefaultBoundListenSocket(endpoint);
        socket.SendBufferSize = Limits.ServerSendBuffer;
        return socket;
    }
}
