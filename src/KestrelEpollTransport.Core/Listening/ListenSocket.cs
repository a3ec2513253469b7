using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Listening;

/// <summary>
/// The listening socket of an endpoint: taken over, or created and bound by the options' function, with the options of the kernel's;
/// listening, non-blocking. It also knows whose the kernel's queue of connections is once we have unbound. Thread-safe.
/// </summary>
/// <remarks>
/// <code>
/// the descriptor                          who has it after us       the queue at unbind      the end of it
/// FileHandleEndPoint                      whoever opened it         left                     not ours
/// taken over from the service manager     the service manager       left                     closed; a unix file stays
/// passed on to a successor, or taken
///     over while the predecessor serves   that process              left                     closed; a unix file stays
/// made by CreateBoundListenSocket         unknown                   taken                    disposed
/// made by the default, or taken over
///     from a predecessor                  nobody                    stopped, then taken      disposed; a unix file is deleted
/// </code>
/// <para>Closing the last descriptor of a listening socket resets what is in its queue. What is taken from a queue that others have
/// too is served all the same; only to stop it would stop theirs.</para>
/// </remarks>
internal sealed class ListenSocket
{
    private readonly ListenerHandover? _handover;
    private readonly InheritedSocket? _inherited;
    private readonly UnixPathClaim? _claim;
    private readonly bool _isForeign;
    private readonly bool _isOfUnknownOwner;
    private volatile bool _isPassedOn;

    private ListenSocket(Socket socket, InheritedSocket? inherited, UnixPathClaim? claim, EndPoint endPoint, EpollTransportOptions options)
    {
        Socket = socket;
        Descriptor = (int)socket.SafeHandle.DangerousGetHandle();
        IsTcp = socket.AddressFamily is AddressFamily.InterNetwork or AddressFamily.InterNetworkV6;
        _inherited = inherited;
        _claim = claim;
        _isForeign = endPoint is FileHandleEndPoint;
        IsAnyPort = endPoint is IPEndPoint { Port: 0 };
        _isOfUnknownOwner = inherited is null && !options.HasDefaultListenSocket;
        if (!_isForeign)
        {
            _handover = options.Handover;
            _handover?.Add(this);
        }
    }

    public Socket Socket { get; }

    public int Descriptor { get; }

    public bool IsTcp { get; }

    /// <summary>Whether the endpoint asked for port 0, any that is free.</summary>
    public bool IsAnyPort { get; }

    /// <summary>Whether a service manager has it too, and keeps it.</summary>
    public bool IsKept => _inherited is { IsKept: true };

    /// <summary>Whether a successor has it too, or is being started with it. Written under the lock of the <see cref="ListenerHandover"/>.</summary>
    public bool IsPassedOn
    {
        get => _isPassedOn;
        set => _isPassedOn = value;
    }

    /// <summary>
    /// Whether another process of ours has it and serves, or is about to. Before this one serves the predecessor may have to go on alone, and so may
    /// this one while its successor starts: neither must be left with a socket that the other one has made useless.
    /// </summary>
    public bool IsShared => IsPassedOn || (_inherited is { IsKept: false } && _handover is { DoesPredecessorServe: true });

    /// <summary>Whether somebody else goes on with the kernel's queue when we have unbound.</summary>
    public bool LeavesQueue => _isForeign || IsKept || IsShared;

    /// <exception cref="AddressInUseException">The address is in use: for that error, and for no other.</exception>
    /// <exception cref="PlatformNotSupportedException">The system has no such endpoints, or not an option; the message says so.</exception>
    /// <exception cref="SocketException">The socket can't be made, bound or listened on for another reason.</exception>
    public static ListenSocket Create(EndPoint endPoint, EpollTransportOptions options, SocketSettings settings)
    {
        SystemFeatureChecks.Check(endPoint);
        SystemFeatureChecks.Check(settings);
        UnixDomainSocketEndPoint? path = SocketAddresses.IsPath(endPoint) ? (UnixDomainSocketEndPoint)endPoint : null;
        InheritedSocket? inherited = null;
        UnixPathClaim? claim = null;
        Socket? socket = null;
        try
        {
            inherited = endPoint is FileHandleEndPoint ? null : options.Handover?.Take(endPoint);
            claim = inherited is null && path is not null && settings.RemovesStaleUnixSockets ? UnixPathClaim.Take(path) : null;
            socket = inherited?.Socket ?? (options.HasDefaultListenSocket ? CreateBound(endPoint, settings) : options.CreateBoundListenSocket(endPoint));
            int descriptor = (int)socket.SafeHandle.DangerousGetHandle();
            settings.Apply(descriptor, socket.AddressFamily, SettingPlaces.Listener);
            if (path is not null && settings.UnixFileMode is { } mode)
            {
                // Until it listens, nobody can connect.
                Check(SystemCalls.SetFileMode(path.ToString(), mode), nameof(EpollSocketOptions.UnixFileMode), $"the mode of '{path}' could not be set");
            }

            if (inherited is not { IsKept: true })
            {
                // The length of the queue counts for every process, and the service manager has set its own.
                socket.Listen(options.Backlog);
            }

            if (options.NoDelay && socket.AddressFamily is (AddressFamily.InterNetwork or AddressFamily.InterNetworkV6))
            {
                // Accepted sockets inherit it (Stevens, UNIX Network Programming, 7.4): one call less for each of them.
                socket.NoDelay = true;
            }

            // Also for supplied and inherited sockets. Several loops may be told of one connection: all but one of them
            // would wait in a blocking accept. An inherited descriptor (systemd's) must not reach child processes.
            Check(SystemCalls.SetNonBlocking(descriptor));
            Check(SystemCalls.SetCloseOnExec(descriptor));
            return new ListenSocket(socket, inherited, claim, endPoint, options);
        }
        catch (Exception exception)
        {
            if (inherited is not null)
            {
                CloseShared(inherited.Socket);
            }
            else
            {
                socket?.Dispose();
            }

            claim?.Dispose();
            if (exception is SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse })
            {
                throw new AddressInUseException(exception.Message, exception);
            }

            throw;
        }
    }

    /// <summary>
    /// Has the kernel queue nobody more, where nobody else has the socket: no client is told to be connected to a queue that is about to
    /// be closed. From then on it is not passed on. Where it can't be, who connects between the last accept and the close is reset.
    /// </summary>
    public void StopQueueing()
    {
        if (!LeavesQueue && !_isOfUnknownOwner && _handover?.TryWithdraw(this) != false)
        {
            _ = SystemCalls.StopQueueing(Descriptor, IsTcp);
        }
    }

    public void Close()
    {
        // First, as it may be passed on until then.
        _handover?.Remove(this);
        if (IsKept || IsShared)
        {
            CloseShared(Socket);
        }
        else
        {
            Socket.Dispose();
            _inherited?.DeleteFile();
        }

        // Only now may another server have the path: disposing the socket removes its file.
        _claim?.Dispose();
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

        if (endPoint is DnsEndPoint name)
        {
            // The code that Sockets has for it. Which of a name's addresses to listen on, if not on all of them, nobody here can know.
            throw new SocketException(
                (int)SocketError.ProtocolNotSupported, $"'{name.Host}:{name.Port}' is a name, and only addresses can be bound: resolve it (Dns.GetHostAddresses), and bind an IPEndPoint.");
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

    // Not by the runtime. Disposing the socket would delete the file of a unix socket, which others are reached by; and disposing the
    // handle alone sets SO_LINGER to 0 first, which every connection inherits that the others accept: each would end with a reset.
    private static void CloseShared(Socket socket)
    {
        int descriptor = (int)socket.SafeHandle.DangerousGetHandle();
        socket.SafeHandle.SetHandleAsInvalid();
        SystemCalls.Close(descriptor);
#pragma warning disable CA1816 // Its finalizer would do the same.
        GC.SuppressFinalize(socket);
#pragma warning restore CA1816
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
