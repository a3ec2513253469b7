using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using KestrelEpollTransport.Native.Linux;
using KestrelEpollTransport.Native.Posix;

namespace KestrelEpollTransport.Native;

/// <summary>
/// The system calls on sockets, as values. Each call is made again when a signal interrupted it (EINTR), except
/// close. All are thread-safe; the caller answers for the descriptor being open.
/// </summary>
/// <remarks>
/// Which of the two implementations it is never changes in a process and is no call: the condition is a constant to the
/// compiler once the binding was looked for, so that a caller's code has the one call only. Error numbers are those of
/// <see cref="Errno"/> everywhere.
/// </remarks>
internal static unsafe class SystemCalls
{
    // The same everywhere, as F_SETFD is.
    private const int F_GETFD = 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult Receive(int descriptor, byte* buffer, int length) =>
        LinuxBinding.IsLoaded ? LinuxCalls.Receive(descriptor, buffer, length) : PosixCalls.Receive(descriptor, buffer, length);

    /// <summary>One vector costs no more than a plain buffer.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult Receive(int descriptor, IoVector* vectors, int count) =>
        count == 1 ? Receive(descriptor, vectors->Base, (int)vectors->Length)
        : LinuxBinding.IsLoaded ? LinuxCalls.Receive(descriptor, vectors, count) : PosixCalls.Receive(descriptor, vectors, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult Send(int descriptor, byte* buffer, int length) =>
        LinuxBinding.IsLoaded ? LinuxCalls.Send(descriptor, buffer, length) : PosixCalls.Send(descriptor, buffer, length);

    /// <summary>One vector costs no more than a plain buffer.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult Send(int descriptor, IoVector* vectors, int count) =>
        count == 1 ? Send(descriptor, vectors->Base, (int)vectors->Length)
        : LinuxBinding.IsLoaded ? LinuxCalls.Send(descriptor, vectors, count) : PosixCalls.Send(descriptor, vectors, count);

    /// <summary>Takes one established connection; its descriptor is non-blocking and close-on-exec, accept(2).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult Accept(int listener, SocketAddress peer) =>
        LinuxBinding.IsLoaded ? LinuxCalls.Accept(listener, peer) : PosixCalls.Accept(listener, peer);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult GetLocalAddress(int descriptor, SocketAddress address) =>
        LinuxBinding.IsLoaded ? LinuxCalls.GetLocalAddress(descriptor, address) : PosixCalls.GetLocalAddress(descriptor, address);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult GetPeerAddress(int descriptor, SocketAddress address) =>
        LinuxBinding.IsLoaded ? LinuxCalls.GetPeerAddress(descriptor, address) : PosixCalls.GetPeerAddress(descriptor, address);

    /// <summary>A non-blocking, close-on-exec stream socket of the address's family, socket(2).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult CreateStream(SocketAddress address) =>
        LinuxBinding.IsLoaded ? LinuxCalls.CreateStream(address) : PosixCalls.CreateStream(address);

    /// <summary>Starts to connect. EINPROGRESS: writability tells the end, <see cref="TakeSocketError"/> the outcome.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult Connect(int descriptor, SocketAddress address) =>
        LinuxBinding.IsLoaded ? LinuxCalls.Connect(descriptor, address) : PosixCalls.Connect(descriptor, address);

    /// <summary>
    /// Sends RST and drops what is queued in both directions, while the descriptor stays valid. Linux can, on a TCP socket;
    /// where it fails, <see cref="SetAbortiveClose"/> and a close do the same and take the descriptor with them.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult Reset(int descriptor) =>
        LinuxBinding.IsLoaded ? LinuxCalls.Reset(descriptor) : PosixCalls.Reset(descriptor);

    /// <summary>Makes the close(2) that follows an abortive one: SO_LINGER with a time of 0, setsockopt(2).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult SetAbortiveClose(int descriptor) =>
        LinuxBinding.IsLoaded ? LinuxCalls.SetAbortiveClose(descriptor) : PosixCalls.SetAbortiveClose(descriptor);

    /// <summary>Ends our direction: the peer reads what was sent and then end-of-stream, shutdown(2).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult ShutdownWrite(int descriptor) =>
        LinuxBinding.IsLoaded ? LinuxCalls.ShutdownWrite(descriptor) : PosixCalls.ShutdownWrite(descriptor);

    /// <summary>The pending error of the socket, which the call clears: SO_ERROR, getsockopt(2). 0 means none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int TakeSocketError(int descriptor) =>
        LinuxBinding.IsLoaded ? LinuxCalls.TakeSocketError(descriptor) : PosixCalls.TakeSocketError(descriptor);

    /// <summary>How many bytes a receive would return now: FIONREAD, ioctl(2).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult GetUnreadBytes(int descriptor) =>
        LinuxBinding.IsLoaded ? LinuxCalls.GetUnreadBytes(descriptor) : PosixCalls.GetUnreadBytes(descriptor);

    /// <summary>
    /// How many bytes a TCP socket has sent that the peer has not acknowledged, our FIN included. An error where the system does not
    /// say it by ioctl(2).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult GetUnacknowledgedBytes(int descriptor) =>
        LinuxBinding.IsLoaded ? LinuxCalls.GetUnacknowledgedBytes(descriptor) : PosixCalls.GetUnacknowledgedBytes(descriptor);

    /// <summary>Switches Nagle's algorithm off: TCP_NODELAY, tcp(7) or tcp(4).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult SetNoDelay(int descriptor) =>
        LinuxBinding.IsLoaded ? LinuxCalls.SetNoDelay(descriptor) : PosixCalls.SetNoDelay(descriptor);

    /// <summary>Sets or clears O_NONBLOCK, fcntl(2). Returns 1 if that changed it, and 0 if not.</summary>
    public static IoResult SetNonBlocking(int descriptor, bool nonBlocking = true) =>
        LinuxBinding.IsLoaded ? LinuxCalls.SetNonBlocking(descriptor, nonBlocking) : PosixCalls.SetNonBlocking(descriptor, nonBlocking);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult SetCloseOnExec(int descriptor) =>
        LinuxBinding.IsLoaded ? LinuxCalls.SetCloseOnExec(descriptor) : PosixCalls.SetCloseOnExec(descriptor);

    /// <summary>Has the programs that are started from now on inherit the descriptor: no FD_CLOEXEC, fcntl(2).</summary>
    public static IoResult SetInheritable(int descriptor) => PosixCalls.SetInheritable(descriptor);

    /// <summary>Whether it is a socket that listens: SO_ACCEPTCONN, getsockopt(2).</summary>
    public static bool IsListening(int descriptor) => PosixCalls.IsListening(descriptor);

    /// <summary>
    /// Has the kernel queue nobody who has not begun to connect, so that what is accepted from now on ends some time. An error: the system
    /// has no way to. A TCP client's SYN is dropped, which it repeats after a second (a filter, socket(7)); a unix client is refused. It counts for
    /// the socket, not for the descriptor: for every process that has it, and for good.
    /// </summary>
    public static IoResult StopQueueing(int listener, bool isTcp) => PosixCalls.StopQueueing(listener, isTcp);

    /// <summary>A second, close-on-exec descriptor of the same socket: F_DUPFD_CLOEXEC, fcntl(2).</summary>
    /// <param name="descriptor">The first one.</param>
    /// <param name="least">It gets the lowest number that is free from here on.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static IoResult Duplicate(int descriptor, int least = 0) =>
        LinuxBinding.IsLoaded ? LinuxCalls.Duplicate(descriptor, least) : PosixCalls.Duplicate(descriptor, least);

    /// <summary>Sets an option that is a number, setsockopt(2). ENOPROTOOPT where the system has no such option.</summary>
    public static IoResult SetOption(int descriptor, KernelOption option, int value) =>
        PosixCalls.SetOption(descriptor, option, new ReadOnlySpan<byte>(&value, sizeof(int)));

    /// <summary>Sets an option that is a string of ASCII.</summary>
    public static IoResult SetOption(int descriptor, KernelOption option, string value) =>
        PosixCalls.SetOption(descriptor, option, Encoding.ASCII.GetBytes(value));

    /// <summary>Whether the system has an option.</summary>
    public static bool HasOption(KernelOption option) => PosixCalls.HasOption(option);

    /// <summary>What TCP knows of a connection: TCP_INFO, tcp(7).</summary>
    public static IoResult GetTcpInfo(int descriptor, out TcpInfoRecord info)
    {
        // A kernel that knows less leaves the rest as it is.
        info = default;
        fixed (TcpInfoRecord* pointer = &info)
        {
            return PosixCalls.GetOption(descriptor, KernelOption.TCP_INFO, new Span<byte>(pointer, sizeof(TcpInfoRecord)));
        }
    }

    /// <summary>Who called connect(2) at the other end of a unix socket: SO_PEERCRED, unix(7).</summary>
    public static IoResult GetPeerCredentials(int descriptor, out int processId, out uint userId, out uint groupId)
    {
        // struct ucred: pid_t, uid_t, gid_t.
        int* credentials = stackalloc int[3];
        IoResult result = PosixCalls.GetOption(descriptor, KernelOption.SO_PEERCRED, new Span<byte>(credentials, 3 * sizeof(int)));
        (processId, userId, groupId) = (credentials[0], (uint)credentials[1], (uint)credentials[2]);
        return result;
    }

    /// <summary>A close-on-exec stream socket of Multipath TCP, socket(2) with IPPROTO_MPTCP. Only where the system has it.</summary>
    public static IoResult CreateMultipathStream(AddressFamily family) => PosixCalls.CreateMultipathStream(family);

    /// <summary>Sets the mode of a file, chmod(2).</summary>
    public static IoResult SetFileMode(string path, UnixFileMode mode) => PosixCalls.SetFileMode(path, mode);

    /// <summary>Removes a file, unlink(2).</summary>
    public static IoResult RemoveFile(string path) => PosixCalls.RemoveFile(path);

    /// <summary>
    /// Makes a file that only we may open, if there is none, and locks it without waiting, flock(2): EAGAIN where somebody else holds the lock.
    /// <see cref="UnlockFile"/> of the descriptor that is returned ends the lock, and so does the end of the process.
    /// </summary>
    public static IoResult LockFile(string path) => PosixCalls.LockFile(path);

    /// <summary>Ends a lock and closes its descriptor.</summary>
    public static void UnlockFile(int descriptor) => PosixCalls.UnlockFile(descriptor);

    /// <summary>Whether the file at a path, which is no link, is a unix socket. Only where the system has <see cref="SystemFeatures.StaleUnixSockets"/>.</summary>
    public static bool IsSocketFile(string path) => PosixCalls.IsSocketFile(path);

    /// <summary>
    /// How many descriptors the process may have, one more than the highest number; not above 0: without limit.
    /// getdtablesize(3), the soft RLIMIT_NOFILE at this moment.
    /// </summary>
    public static int GetDescriptorLimit() => LibraryCalls.GetDescriptorTableSize();

    /// <summary>Whether the number is a descriptor of the process at this moment: F_GETFD, fcntl(2).</summary>
    public static bool IsOpen(int descriptor) => LibraryCalls.Control(descriptor, F_GETFD, 0) >= 0;

    /// <summary>Frees the descriptor. Never repeated: after EINTR it is free already, close(2).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Close(int descriptor)
    {
        if (LinuxBinding.IsLoaded)
        {
            LinuxCalls.Close(descriptor);
        }
        else
        {
            PosixCalls.Close(descriptor);
        }
    }
}
