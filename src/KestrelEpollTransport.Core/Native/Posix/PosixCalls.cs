using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KestrelEpollTransport.Native.Posix;

/// <summary>
/// <see cref="SystemCalls"/> over the C library of any system, with the <see cref="SystemNumbers"/> of this one: what serves
/// macOS and FreeBSD, and Linux where the binding does not load.
/// </summary>
internal static unsafe partial class PosixCalls
{
    // The same on Linux, macOS and FreeBSD.
    // Source: sys/socket.h, netinet/in.h, netinet/tcp.h, sys/fcntl.h, versions as of SystemNumbers.
    private const int AF_UNIX = 1;
    private const int AF_INET = 2;
    private const int SOCK_STREAM = 1;
    private const int IPPROTO_TCP = 6;
    private const int TCP_NODELAY = 1;
    private const int SHUT_RD = 0;
    private const int SHUT_WR = 1;

    // Linux: linux/filter.h, linux/bpf_common.h, and tcp(7)'s header, RFC 9293, 3.1.
    private const ushort BPF_LD_B_ABS = 0x30;
    private const ushort BPF_AND_K = 0x54;
    private const ushort BPF_JEQ_K = 0x15;
    private const ushort BPF_RET_K = 0x06;
    private const uint TcpFlagsOffset = 13;
    private const uint SYN = 0x02;
    private const uint ACK = 0x10;

    private const int F_SETFD = 2;
    private const int F_GETFL = 3;
    private const int F_SETFL = 4;
    private const int FD_CLOEXEC = 1;

    private static readonly SystemNumbers s_numbers = SystemNumbers.Current;

    // On each call, and EPIPE for SIGPIPE: see LinuxCalls.
    private static readonly int s_receiveFlags = s_numbers.MSG_DONTWAIT;
    private static readonly int s_sendFlags = s_numbers.MSG_DONTWAIT | s_numbers.MSG_NOSIGNAL;

    public static IoResult Receive(int descriptor, byte* buffer, int length)
    {
        nint received;
        do
        {
            received = LibraryCalls.Receive(descriptor, buffer, (nuint)length, s_receiveFlags);
        }
        while (received < 0 && WasInterrupted());

        return Result(received);
    }

    public static IoResult Receive(int descriptor, IoVector* vectors, int count)
    {
        MessageHeader message = new() { Vectors = vectors, VectorCount = (ulong)count };
        nint received;
        do
        {
            received = LibraryCalls.ReceiveMessage(descriptor, &message, s_receiveFlags);
        }
        while (received < 0 && WasInterrupted());

        return Result(received);
    }

    public static IoResult Send(int descriptor, byte* buffer, int length)
    {
        nint sent;
        do
        {
            sent = LibraryCalls.Send(descriptor, buffer, (nuint)length, s_sendFlags);
        }
        while (sent < 0 && WasInterrupted());

        return Result(sent);
    }

    public static IoResult Send(int descriptor, IoVector* vectors, int count)
    {
        MessageHeader message = new() { Vectors = vectors, VectorCount = (ulong)count };
        nint sent;
        do
        {
            sent = LibraryCalls.SendMessage(descriptor, &message, s_sendFlags);
        }
        while (sent < 0 && WasInterrupted());

        return Result(sent);
    }

    public static IoResult Accept(int listener, SocketAddress peer)
    {
        int accepted;
        uint length;
        fixed (byte* address = peer.Buffer.Span)
        {
            do
            {
                length = (uint)peer.Buffer.Length;
                accepted = s_numbers.CreationFlags != 0
                    ? LibraryCalls.Accept4(listener, address, &length, s_numbers.CreationFlags)
                    : LibraryCalls.Accept(listener, address, &length);
            }
            while (accepted < 0 && WasInterrupted());
        }

        if (accepted < 0)
        {
            return Result(accepted);
        }

        if (length == 0 && s_numbers.AcceptsTheDead)
        {
            Close(accepted);
            return IoResult.Failure(Errno.ECONNABORTED);
        }

        peer.Size = (int)Math.Min(length, (uint)peer.Buffer.Length);
        return Prepare(accepted);
    }

    public static IoResult GetLocalAddress(int descriptor, SocketAddress address)
    {
        fixed (byte* pointer = address.Buffer.Span)
        {
            uint length = (uint)address.Buffer.Length;
            return SetSize(address, LibraryCalls.GetSocketName(descriptor, pointer, &length), length);
        }
    }

    public static IoResult GetPeerAddress(int descriptor, SocketAddress address)
    {
        fixed (byte* pointer = address.Buffer.Span)
        {
            uint length = (uint)address.Buffer.Length;
            return SetSize(address, LibraryCalls.GetPeerName(descriptor, pointer, &length), length);
        }
    }

    public static IoResult CreateStream(SocketAddress address)
    {
        int family = address.Family switch
        {
            AddressFamily.InterNetwork => AF_INET,
            AddressFamily.InterNetworkV6 => s_numbers.AF_INET6,
            AddressFamily.Unix => AF_UNIX,
            _ => -1,
        };
        int descriptor = LibraryCalls.Socket(family, SOCK_STREAM | s_numbers.CreationFlags, 0);
        return descriptor < 0 ? Result(descriptor) : Prepare(descriptor);
    }

    public static IoResult Connect(int descriptor, SocketAddress address)
    {
        fixed (byte* pointer = address.Buffer.Span)
        {
            // Not repeated after EINTR: the attempt goes on by itself, connect(2). The length byte of a BSD's address is
            // the kernel's to set.
            IoResult result = Result(LibraryCalls.Connect(descriptor, pointer, (uint)address.Size));
            return result.Errno == Errno.EINTR ? IoResult.Failure(Errno.EINPROGRESS) : result;
        }
    }

    /// <summary>
    /// Never can: connecting to AF_UNSPEC dissolves datagram associations only, connect(2) of macOS and FreeBSD. A table
    /// for Linux does not change that, so that what follows the refusal is what follows it on a BSD.
    /// </summary>
#pragma warning disable IDE0060 // The signature of SystemCalls.
    public static IoResult Reset(int descriptor) => IoResult.Failure(Errno.EAFNOSUPPORT);
#pragma warning restore IDE0060

    public static IoResult SetAbortiveClose(int descriptor)
    {
        // struct linger: on, and the time. macOS refuses (EINVAL) once both directions have ended: nothing is left to reset.
        long* option = stackalloc long[1];
        ((int*)option)[0] = 1;
        ((int*)option)[1] = 0;
        return Result(LibraryCalls.SetSocketOption(descriptor, s_numbers.SOL_SOCKET, s_numbers.SO_LINGER, option, 2 * sizeof(int)));
    }

    public static IoResult ShutdownWrite(int descriptor) => Result(LibraryCalls.Shutdown(descriptor, SHUT_WR));

    public static IoResult StopQueueing(int listener, bool isTcp)
    {
        if (s_numbers.SO_ATTACH_FILTER == 0)
        {
            return IoResult.Failure(Errno.EOPNOTSUPP);
        }

        if (!isTcp)
        {
            // connect(2) is refused from now on, and accept(2) goes on: net/unix/af_unix.c, unix_stream_connect looks at it and unix_accept
            // does not.
            return Result(LibraryCalls.Shutdown(listener, SHUT_RD));
        }

        // struct sock_filter, linux/filter.h: code, jump if true, jump if false, operand. A segment's filter sees the TCP header first.
        ulong* instructions = stackalloc ulong[]
        {
            Instruction(BPF_LD_B_ABS, operand: TcpFlagsOffset),
            Instruction(BPF_AND_K, operand: SYN | ACK),
            Instruction(BPF_JEQ_K, operand: SYN, isFalse: 1),
            Instruction(BPF_RET_K, operand: 0),
            Instruction(BPF_RET_K, operand: uint.MaxValue),
        };

        // struct sock_fprog: a short, and a pointer at the next multiple of its size.
        nint* program = stackalloc nint[2];
        program[0] = 0;
        *(ushort*)program = 5;
        program[1] = (nint)instructions;
        return Result(LibraryCalls.SetSocketOption(listener, s_numbers.SOL_SOCKET, s_numbers.SO_ATTACH_FILTER, program, (uint)(2 * sizeof(nint))));
    }

    public static IoResult SetInheritable(int descriptor) => Control(descriptor, F_SETFD, 0);

    public static bool IsListening(int descriptor)
    {
        int isListening = 0;
        uint length = sizeof(int);
        return LibraryCalls.GetSocketOption(descriptor, s_numbers.SOL_SOCKET, s_numbers.SO_ACCEPTCONN, &isListening, &length) == 0 && isListening != 0;
    }

    public static int TakeSocketError(int descriptor)
    {
        int error = 0;
        uint length = sizeof(int);
        IoResult result = Result(LibraryCalls.GetSocketOption(descriptor, s_numbers.SOL_SOCKET, s_numbers.SO_ERROR, &error, &length));
        return result.IsError ? result.Errno : s_numbers.ToErrno(error);
    }

    public static IoResult GetUnreadBytes(int descriptor) => GetCount(descriptor, s_numbers.FIONREAD);

    public static IoResult GetUnacknowledgedBytes(int descriptor) =>
        s_numbers.FIONWRITE == 0 ? IoResult.Failure(Errno.EOPNOTSUPP) : GetCount(descriptor, s_numbers.FIONWRITE);

    public static IoResult SetNoDelay(int descriptor)
    {
        int on = 1;
        return Result(LibraryCalls.SetSocketOption(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int)));
    }

    public static IoResult SetNonBlocking(int descriptor, bool nonBlocking = true)
    {
        IoResult flags = Control(descriptor, F_GETFL, 0);
        if (flags.IsError)
        {
            return flags;
        }

        int changed = nonBlocking ? (int)flags.Value | s_numbers.O_NONBLOCK : (int)flags.Value & ~s_numbers.O_NONBLOCK;
        IoResult result = Control(descriptor, F_SETFL, changed);
        return result.IsError ? result : IoResult.Success(changed == flags.Value ? 0 : 1);
    }

    public static IoResult SetCloseOnExec(int descriptor) => Control(descriptor, F_SETFD, FD_CLOEXEC);

    public static IoResult Duplicate(int descriptor, int least)
    {
        IoResult duplicate = Control(descriptor, s_numbers.F_DUPFD_CLOEXEC, least);
        if (!duplicate.IsError)
        {
            SuppressSignals((int)duplicate.Value);
        }

        return duplicate;
    }

    public static void Close(int descriptor) => _ = LibraryCalls.Close(descriptor);

    // What accept4 and the flags of socket(2) do in one call where they exist. A child process that another thread starts
    // between the calls inherits the descriptor: nothing on macOS prevents that.
    private static IoResult Prepare(int descriptor)
    {
        if (s_numbers.CreationFlags == 0)
        {
            IoResult closeOnExec = SetCloseOnExec(descriptor);
            IoResult nonBlocking = SetNonBlocking(descriptor);
            if (closeOnExec.IsError || nonBlocking.IsError)
            {
                Close(descriptor);
                return closeOnExec.IsError ? closeOnExec : nonBlocking;
            }
        }

        SuppressSignals(descriptor);
        return IoResult.Success(descriptor);
    }

    private static void SuppressSignals(int descriptor)
    {
        if (s_numbers.SO_NOSIGPIPE != 0)
        {
            // Refused (EINVAL) where the peer is gone already. The runtime ignores the signal too: this is for an
            // application that has taken the signal back.
            int on = 1;
            _ = LibraryCalls.SetSocketOption(descriptor, s_numbers.SOL_SOCKET, s_numbers.SO_NOSIGPIPE, &on, sizeof(int));
        }
    }

    private static ulong Instruction(ushort code, uint operand, byte isFalse = 0)
    {
        // In the order of memory, whatever the processor's is.
        ulong instruction;
        *(ushort*)&instruction = code;
        ((byte*)&instruction)[2] = 0;
        ((byte*)&instruction)[3] = isFalse;
        ((uint*)&instruction)[1] = operand;
        return instruction;
    }

    private static IoResult Control(int descriptor, int command, int argument) => Result(s_numbers.VariadicOnStack
        ? LibraryCalls.ControlOnStack(descriptor, command, 0, 0, 0, 0, 0, 0, argument)
        : LibraryCalls.Control(descriptor, command, argument));

    private static IoResult SetSize(SocketAddress address, int result, uint length)
    {
        if (result < 0)
        {
            return Result(result);
        }

        address.Size = (int)Math.Min(length, (uint)address.Buffer.Length);
        return IoResult.Success(0);
    }

    // EINTR is 4 on every system.
    private static bool WasInterrupted() => Marshal.GetLastPInvokeError() == Errno.EINTR;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static IoResult Result(nint returned) =>
        returned >= 0 ? IoResult.Success(returned) : IoResult.Failure(s_numbers.ToErrno(Marshal.GetLastPInvokeError()));

    private static IoResult GetCount(int descriptor, nuint request)
    {
        int count = 0;
        IoResult result = Result(s_numbers.VariadicOnStack
            ? LibraryCalls.DeviceControlOnStack(descriptor, request, 0, 0, 0, 0, 0, 0, &count)
            : LibraryCalls.DeviceControl(descriptor, request, &count));
        return result.IsError ? result : IoResult.Success(count);
    }
}
