using System.Net;
using System.Net.Sockets;

namespace Microbenchmarks;

/// <summary>Two ends of a TCP connection over loopback.</summary>
internal static class SocketPair
{
    public static (Socket One, Socket Other) Create()
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(1);
        Socket one = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        one.Connect(listener.LocalEndPoint!);
        Socket other = listener.Accept();
        one.NoDelay = other.NoDelay = true;

        // A wait that does not end is a mistake to be told of.
        one.ReceiveTimeout = other.ReceiveTimeout = 10_000;
        return (one, other);
    }

    public static int DescriptorOf(Socket socket) => (int)socket.SafeHandle.DangerousGetHandle();
}
