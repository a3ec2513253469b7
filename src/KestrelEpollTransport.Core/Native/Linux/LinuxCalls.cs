using System.Net;
using System.Runtime.CompilerServices;
using System.Runtime.Versioning;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace KestrelEpollTransport.Native.Linux;

/// <summary><see cref="SystemCalls"/> over Tmds.LibC, which has the structures and constants of each Linux architecture.</summary>
/// <remarks>
/// No field and no signature here has a type of the binding: only a method's body, when it is compiled, asks for the
/// binding to be loaded, and on a system without it that never happens.
/// </remarks>
[SupportedOSPlatform("linux")]
internal static unsafe class LinuxCalls
{
    // MSG_DONTWAIT on each call, though the descriptors are non-blocking: an application that sets Blocking on
    // the socket of IConnectionSocketFeature changes the open file description that is shared with ours.
    // MSG_NOSIGNAL: EPIPE, not SIGPIPE, send(2).
    private const int MSG_DONTWAIT = 0x40;
    private const int MSG_NOSIGNAL = 0x4000;

    // linux/sockios.h: TIOCOUTQ of asm-generic/ioctls.h, the same on every architecture that Tmds.LibC serves, which lacks it.
    private const int SIOCOUTQ = 0x5411;

    public static IoResult Receive(int descriptor, byte* buffer, int length)
    {
        while (true)
        {
            long received = recv(descriptor, buffer, length, MSG_DONTWAIT);
            if (received >= 0)
            {
                return IoResult.Success(received);
            }

            int error = errno;
            if (error != Errno.EINTR)
            {
                return IoResult.Failure(error);
            }
        }
    }

    public static IoResult Receive(int descriptor, IoVector* vectors, int count)
    {
        // Without a control buffer the kernel closes descriptors that a peer on a unix socket passes along, recvmsg(2).
        msghdr message = default;
        message.msg_iov = (iovec*)vectors;
        message.msg_iovlen = count;
        while (true)
        {
            long received = recvmsg(descriptor, &message, MSG_DONTWAIT);
            if (received >= 0)
            {
                return IoResult.Success(received);
            }

            int error = errno;
            if (error != Errno.EINTR)
            {
                return IoResult.Failure(error);
            }
        }
    }

    public static IoResult Send(int descriptor, byte* buffer, int length)
    {
        while (true)
        {
            long sent = send(descriptor, buffer, length, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent >= 0)
            {
                return IoResult.Success(sent);
            }

            int error = errno;
            if (error != Errno.EINTR)
            {
                return IoResult.Failure(error);
            }
        }
    }

    public static IoResult Send(int descriptor, IoVector* vectors, int count)
    {
        msghdr message = default;
        message.msg_iov = (iovec*)vectors;
        message.msg_iovlen = count;
        while (true)
        {
            long sent = sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent >= 0)
            {
                return IoResult.Success(sent);
            }

            int error = errno;
            if (error != Errno.EINTR)
            {
                return IoResult.Failure(error);
            }
        }
    }

    /// <summary>Takes one established connection; its descriptor is non-blocking and close-on-exec, accept4(2).</summary>
    public static IoResult Accept(int listener, SocketAddress peer)
    {
        while (true)
        {
            int accepted;
            fixed (byte* address = peer.Buffer.Span)
            {
                socklen_t length = (uint)peer.Buffer.Length;
                accepted = accept4(listener, (sockaddr*)address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (accepted >= 0)
                {
                    peer.Size = (int)Math.Min((uint)length, (uint)peer.Buffer.Length);
                    return IoResult.Success(accepted);
                }
            }

            int error = errno;
            if (error != Errno.EINTR)
            {
                return IoResult.Failure(error);
            }
        }
    }

    public static IoResult GetLocalAddress(int descriptor, SocketAddress address)
    {
        fixed (byte* pointer = address.Buffer.Span)
        {
            socklen_t length = (uint)address.Buffer.Length;
            if (getsockname(descriptor, (sockaddr*)pointer, &length) != 0)
            {
                return IoResult.Failure(errno);
            }

            address.Size = (int)Math.Min((uint)length, (uint)address.Buffer.Length);
            return IoResult.Success(0);
        }
    }

    public static IoResult GetPeerAddress(int descriptor, SocketAddress address)
    {
        fixed (byte* pointer = address.Buffer.Span)
        {
            socklen_t length = (uint)address.Buffer.Length;
            if (getpeername(descriptor, (sockaddr*)pointer, &length) != 0)
            {
                return IoResult.Failure(errno);
            }

            address.Size = (int)Math.Min((uint)length, (uint)address.Buffer.Length);
            return IoResult.Success(0);
        }
    }

    /// <summary>A non-blocking, close-on-exec stream socket of the address's family, socket(2).</summary>
    public static IoResult CreateStream(SocketAddress address)
    {
        // The first two bytes of every address are its family, socket(7).
        int family = BitConverter.ToUInt16(address.Buffer.Span);
        int descriptor = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        return descriptor < 0 ? IoResult.Failure(errno) : IoResult.Success(descriptor);
    }

    /// <summary>Starts to connect. EINPROGRESS: writability tells the end, <see cref="TakeSocketError"/> the outcome.</summary>
    public static IoResult Connect(int descriptor, SocketAddress address)
    {
        fixed (byte* pointer = address.Buffer.Span)
        {
            // Not repeated after EINTR: the attempt goes on by itself, connect(2).
            int result = connect(descriptor, (sockaddr*)pointer, (uint)address.Size);
            int error = result == 0 ? 0 : errno;
            return error switch
            {
                0 => IoResult.Success(0),
                Errno.EINTR => IoResult.Failure(Errno.EINPROGRESS),
                _ => IoResult.Failure(error),
            };
        }
    }

    /// <summary>
    /// Sends RST and drops what is queued in both directions, while the descriptor stays valid: connecting a TCP
    /// socket to AF_UNSPEC dissolves the association, connect(2). Fails with EINVAL on a unix socket.
    /// </summary>
    public static IoResult Reset(int descriptor)
    {
        sockaddr_storage unspecified = default;
        unspecified.ss_family = AF_UNSPEC;
        return Check(connect(descriptor, (sockaddr*)&unspecified, sizeof(sockaddr_storage)));
    }

    /// <summary>Makes the close(2) that follows an abortive one: SO_LINGER with a time of 0, socket(7).</summary>
    public static IoResult SetAbortiveClose(int descriptor)
    {
        linger option = default;
        option.l_onoff = 1;
        return Check(setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, sizeof(linger)));
    }

    /// <summary>Ends our direction: the peer reads what was sent and then end-of-stream, shutdown(2).</summary>
    public static IoResult ShutdownWrite(int descriptor) => Check(shutdown(descriptor, SHUT_WR));

    /// <summary>The pending error of the socket, which the call clears: SO_ERROR, socket(7). 0 means none.</summary>
    public static int TakeSocketError(int descriptor)
    {
        int error = 0;
        socklen_t length = sizeof(int);
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
    }

    /// <summary>How many bytes a receive would return now: FIONREAD, tcp(7) and unix(7).</summary>
    public static IoResult GetUnreadBytes(int descriptor) => GetCount(descriptor, FIONREAD);

    /// <summary>How many bytes were sent and not acknowledged: SIOCOUTQ, tcp(7).</summary>
    public static IoResult GetUnacknowledgedBytes(int descriptor) => GetCount(descriptor, SIOCOUTQ);

    /// <summary>Switches Nagle's algorithm off: TCP_NODELAY, tcp(7).</summary>
    public static IoResult SetNoDelay(int descriptor)
    {
        int on = 1;
        return Check(setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int)));
    }

    public static IoResult SetNonBlocking(int descriptor, bool nonBlocking)
    {
        int flags = fcntl(descriptor, F_GETFL, 0);
        if (flags < 0)
        {
            return IoResult.Failure(errno);
        }

        int changed = nonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        IoResult result = Check(fcntl(descriptor, F_SETFL, changed));
        return result.IsError ? result : IoResult.Success(changed == flags ? 0 : 1);
    }

    public static IoResult SetCloseOnExec(int descriptor) => Check(fcntl(descriptor, F_SETFD, FD_CLOEXEC));

    /// <summary>A second, close-on-exec descriptor of the same socket: F_DUPFD_CLOEXEC, fcntl(2).</summary>
    public static IoResult Duplicate(int descriptor, int least)
    {
        int duplicate = fcntl(descriptor, F_DUPFD_CLOEXEC, least);
        return duplicate < 0 ? IoResult.Failure(errno) : IoResult.Success(duplicate);
    }

    /// <summary>Frees the descriptor. Never repeated: after EINTR Linux has freed it already, close(2).</summary>
    public static void Close(int descriptor) => _ = close(descriptor);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static IoResult Check(int result) => result < 0 ? IoResult.Failure(errno) : IoResult.Success(result);

    private static IoResult GetCount(int descriptor, int request)
    {
        int count = 0;
        return ioctl(descriptor, request, &count) == 0 ? IoResult.Success(count) : IoResult.Failure(errno);
    }
}
