using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport;

namespace Restart;

/// <summary>Listening sockets of which several processes may have one on the same port: SO_REUSEPORT, socket(7). Linux's numbers.</summary>
internal static class SharedPort
{
    private const int SOL_SOCKET = 1;
    private const int SO_REUSEPORT = 15;

    public static Socket CreateBoundListenSocket(EndPoint endPoint)
    {
        if (endPoint is not IPEndPoint)
        {
            return EpollTransportOptions.CreateDefaultBoundListenSocket(endPoint);
        }

        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        socket.SetRawSocketOption(SOL_SOCKET, SO_REUSEPORT, BitConverter.GetBytes(1));
        socket.Bind(endPoint);
        return socket;
    }
}
