using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Listening;

/// <summary>Makes the listening socket of an endpoint: created and bound by the options' function, listening, non-blocking.</summary>
internal static class ListenSocket
{
    /// <exception cref="AddressInUseException">The address is in use: for that error, and for no other.</exception>
    /// <exception cref="PlatformNotSupportedException">The system has no such endpoints; the message says so.</exception>
    /// <exception cref="SocketException">The socket can't be made, bound or listened on for another reason.</exception>
    public static Socket Create(EndPoint endPoint, EpollTransportOptions options)
    {
        SystemFeatureChecks.Check(endPoint);
        Socket? socket = null;
        try
        {
            socket = options.CreateBoundListenSocket(endPoint);
            socket.Listen(options.Backlog);
            if (options.NoDelay && socket.AddressFamily is (AddressFamily.InterNetwork or AddressFamily.InterNetworkV6))
            {
                // Accepted sockets inherit it (Stevens, UNIX Network Programming, 7.4): one call less for each of them.
                socket.NoDelay = true;
            }

            Prepare((int)socket.SafeHandle.DangerousGetHandle());
            return socket;
        }
        catch (SocketException exception) when (exception.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            socket?.Dispose();
            throw new AddressInUseException(exception.Message, exception);
        }
        catch
        {
            socket?.Dispose();
            throw;
        }
    }

    // Also for supplied and inherited sockets. Several loops may be told of one connection: all but one of them
    // would wait in a blocking accept. An inherited descriptor (systemd's) must not reach child processes.
    private static void Prepare(int descriptor)
    {
        IoResult prepared = SystemCalls.SetNonBlocking(descriptor);
        prepared = prepared.IsError ? prepared : SystemCalls.SetCloseOnExec(descriptor);
        if (prepared.IsError)
        {
            throw Errno.ToException(prepared.Errno);
        }
    }
}
