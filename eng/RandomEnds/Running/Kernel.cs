using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace RandomEnds.Running;

/// <summary>The one system call that <see cref="Socket"/> does not offer (Linux).</summary>
internal static partial class Kernel
{
    /// <summary>SIOCOUTQ, tcp(7): bytes sent that the other side's kernel has not acknowledged.</summary>
    public static int CountUnacknowledged(Socket socket)
    {
        const uint OutQueue = 0x5411;
        return Ioctl((int)socket.Handle, OutQueue, out int count) == 0 ? count : 0;
    }

    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int Ioctl(int fd, nuint request, out int value);
}
