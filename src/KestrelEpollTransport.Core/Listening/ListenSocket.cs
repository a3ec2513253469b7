using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Listening;

/// <summary>
/// The listening socket of an endpoint: created and bound by the options' function, with the options of the kernel's, listening, non-blocking.
/// </summary>
internal sealed class ListenSocket : IDisposable
{
    private readonly UnixPathClaim? _claim;

    private ListenSocket(Socket socket, UnixPathClaim? claim)
    {
        Socket = socket;
        _claim = claim;
    }

    public Socket Socket { get; }

    /// <exception cref="AddressInUseException">The address is in use: for that error, and for no other.</exception>
    /// <exception cref="PlatformNotSupportedException">The system has no such endpoints, or not an option; the message says so.</exception>
    /// <exception cref="SocketException">The socket can't be made, bound or listened on for another reason.</exception>
    public static ListenSocket Create(EndPoint endPoint, EpollTransportOptions options, SocketSettings settings)
    {
        SystemFeatureChecks.Check(endPoint);
        SystemFeatureChecks.Check(settings);
        UnixDomainSocketEndPoint? path = SocketAddresses.IsPath(endPoint) ? (UnixDomainSocketEndPoint)endPoint : null;
        UnixPathClaim? claim = null;
        Socket? socket = null;
        try
        {
            claim = path is not null && settings.RemovesStaleUnixSockets ? UnixPathClaim.Take(path) : null;
            socket = options.HasDefaultListenSocket ? CreateBound(endPoint, settings) : options.CreateBoundListenSocket(endPoint);
            int descriptor = (int)socket.SafeHandle.DangerousGetHandle();
            settings.Apply(descriptor, socket.AddressFamily, SettingPlaces.Listener);
            if (path is not null && settings.UnixFileMode is { } mode)
            {
                // Until it listens, nobody can connect.
                Check(SystemCalls.SetFileMode(path.ToString(), mode), nameof(EpollSocketOptions.UnixFileMode), $"the mode of '{path}' could not be set");
            }

            socket.Listen(options.Backlog);
            if (options.NoDelay && socket.AddressFamily is (AddressFamily.InterNetwork or AddressFamily.InterNetworkV6))
            {
                // Accepted sockets inherit it (Stevens, UNIX Network Programming, 7.4): one call less for each of them.
                socket.NoDelay = true;
            }

            // Also for supplied and inherited sockets. Several loops may be told of one connection: all but one of them
            // would wait in a blocking accept. An inherited descriptor (systemd's) must not reach child processes.
            Check(SystemCalls.SetNonBlocking(descriptor));
            Check(SystemCalls.SetCloseOnExec(descriptor));
            return new ListenSocket(socket, claim);
        }
        catch (Exception exception)
        {
            socket?.Dispose();
            claim?.Dispose();
            if (exception is SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse })
            {
                throw new AddressInUseException(exception.Message, exception);
            }

            throw;
        }
    }

    /// <summary>Creates and binds the socket of an endpoint, with what has to be set before it is bound.</summary>
    /// <exception cref="SocketException">It can't be.</exception>
    public static Socket CreateBound(EndPoint endPoint, SocketSettings settings)
    {
        if (endPoint is FileHandleEndPoint inherited)
        {
            // Whoever opened the descriptor binds it and closes it.
            return new Socket(new SafeSocketHandle((nint)inherited.FileHandle, ownsHandle: false));
        }

        Socket socket = endPoint is UnixDomainSocketEndPoint ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            : settings.IsMultipath ? CreateMultipath(endPoint.AddressFamily)
            : new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (endPoint is IPEndPoint ip && ip.Address.Equals(IPAddress.IPv6Any))
            {
                socket.DualMode = true;
            }

            settings.Apply((int)socket.SafeHandle.DangerousGetHandle(), socket.AddressFamily, SettingPlaces.BeforeBind);
            socket.Bind(endPoint);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Closes the socket, and only then lets another server have the path: the socket removes its file as it is disposed.</summary>
    public void Dispose()
    {
        try
        {
            Socket.Dispose();
        }
        finally
        {
            _claim?.Dispose();
        }
    }

    // The framework has no name for the protocol.
    private static Socket CreateMultipath(AddressFamily family)
    {
        long descriptor = Check(
            SystemCalls.CreateMultipathStream(family), nameof(EpollSocketOptions.Multipath), "the kernel has no such sockets, or net.mptcp.enabled is 0");
        SafeSocketHandle handle = new((nint)descriptor, ownsHandle: true);
        try
        {
            // As the framework has it for what it knows to be TCP: a port whose last connections are in TIME_WAIT can be bound.
            Check(SystemCalls.SetOption((int)handle.DangerousGetHandle(), KernelOption.SO_REUSEADDR, 1));
            return new Socket(handle);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    private static long Check(IoResult result) => result.IsError ? throw Errno.ToException(result.Errno) : result.Value;

    // Of an option that is no setsockopt(2).
    private static long Check(IoResult result, string option, string what) =>
        result.IsError ? throw Errno.ToException(result.Errno, $"{SystemFeatureChecks.OptionsPrefix}{option}: {what}") : result.Value;
}
