using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>The few system calls of a test that <see cref="Socket"/> does not offer (Linux, 64 bit).</summary>
internal static unsafe partial class Libc
{
    private const int GetDescriptorFlags = 1;
    private const int SetDescriptorFlags = 2;
    private const int CloseOnExec = 1;
    private const int SolSocket = 1;
    private const int ScmRights = 1;

    public static bool IsOpen(nint fd) => Fcntl((int)fd, GetDescriptorFlags, 0) >= 0;

    public static bool IsCloseOnExec(nint fd) => (Fcntl((int)fd, GetDescriptorFlags, 0) & CloseOnExec) != 0;

    public static void ClearCloseOnExec(nint fd) => Assert.Equal(0, Fcntl((int)fd, SetDescriptorFlags, 0));

    /// <summary>The length that listen(2) was given: for a listener, TCP_INFO's sacked field carries it (tcp_get_info).</summary>
    public static int GetBacklog(Socket listener)
    {
        const int TcpInfo = 11;
        const int SackedOffset = 28;
        Span<byte> info = stackalloc byte[104];
        Assert.True(listener.GetRawSocketOption((int)ProtocolType.Tcp, TcpInfo, info) > SackedOffset);
        return BitConverter.ToInt32(info[SackedOffset..]);
    }

    /// <summary>Sends bytes with one descriptor attached, as in unix(7).</summary>
    public static void SendWithDescriptor(Socket socket, ReadOnlySpan<byte> data, nint fd)
    {
        ulong* control = stackalloc ulong[3];
        control[0] = 20;
        ((int*)control)[2] = SolSocket;
        ((int*)control)[3] = ScmRights;
        ((int*)control)[4] = (int)fd;
        fixed (byte* bytes = data)
        {
            var vector = new IoVector { Base = bytes, Length = (nuint)data.Length };
            var message = new MessageHeader { Vectors = &vector, VectorCount = 1, Control = control, ControlLength = 24 };
            Assert.Equal(data.Length, SendMessage((int)socket.Handle, &message, 0));
        }
    }

    /// <summary>bind(2), for addresses that the framework's end points don't allow.</summary>
    [LibraryImport("libc", EntryPoint = "bind", SetLastError = true)]
    public static partial int Bind(int socket, byte[] address, int length);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Fcntl(int fd, int command, nint argument);

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint SendMessage(int fd, MessageHeader* message, int flags);

    private struct IoVector
    {
        public void* Base;
        public nuint Length;
    }

    private struct MessageHeader
    {
        public void* Name;
        public uint NameLength;
        public IoVector* Vectors;
        public nuint VectorCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
    }
}
