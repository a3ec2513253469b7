using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Polling;

namespace KestrelEpollTransport.Tests;

/// <summary>Every way to run the transport: each scheduling over the system's poller, and one over the model of kqueue.</summary>
public enum TransportMode
{
    Adaptive,
    ThreadPool,
    UnsafeInline,
    KqueueModel,
}

internal static class TransportModes
{
    public static TheoryData<TransportMode> All => [.. Enum.GetValues<TransportMode>()];

    public static TheoryData<TransportMode, Wire> AllOnBothWires
    {
        get
        {
            TheoryData<TransportMode, Wire> all = [];
            foreach (TransportMode mode in Enum.GetValues<TransportMode>())
            {
                all.Add(mode, Wire.Tcp);
                all.Add(mode, Wire.Unix);
            }

            return all;
        }
    }

    public static ApplicationScheduling Scheduling(this TransportMode mode) => mode switch
    {
        TransportMode.Adaptive => ApplicationScheduling.Adaptive,
        TransportMode.UnsafeInline => ApplicationScheduling.UnsafeInline,
        _ => ApplicationScheduling.ThreadPool,
    };

    public static Poller CreatePoller(this TransportMode mode) =>
        (mode == TransportMode.KqueueModel ? PollerBackend.DarwinModel : PollerBackend.System).Create();

    public static EndPoint NewEndPoint(this Wire wire) =>
        wire == Wire.Tcp ? new IPEndPoint(IPAddress.Loopback, 0) : new UnixDomainSocketEndPoint($"\0{Guid.NewGuid():N}");

    /// <summary>A client, blocking, with a limit on every wait.</summary>
    public static Socket ConnectTo(this Wire wire, EndPoint endPoint)
    {
        Socket socket = new(endPoint.AddressFamily, SocketType.Stream, wire == Wire.Tcp ? ProtocolType.Tcp : ProtocolType.Unspecified);
        try
        {
            socket.Connect(endPoint);
            socket.ReceiveTimeout = socket.SendTimeout = (int)Timeouts.Limit.TotalMilliseconds;
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
