using System.Net.Sockets;
using System.Text;

namespace KestrelEpollTransport.FunctionalTests.KernelOptions;

/// <summary>
/// An option as the kernel says it: the numbers of linux/tcp.h, linux/in.h and asm-generic/socket.h, not those of the code under test.
/// </summary>
internal static class RawOption
{
    public const int Socket = 1;
    public const int Ip = 0;
    public const int Ipv6 = 41;
    public const int Tcp = 6;
    public const int SoProtocol = 38;
    public const int Congestion = 13;

    public static int Get(Socket socket, int level, int name)
    {
        Span<byte> value = stackalloc byte[4];
        Assert.Equal(4, socket.GetRawSocketOption(level, name, value));
        return BitConverter.ToInt32(value);
    }

    public static string GetText(Socket socket, int level, int name)
    {
        Span<byte> value = stackalloc byte[32];
        int length = socket.GetRawSocketOption(level, name, value);
        return Encoding.ASCII.GetString(value[..length]).TrimEnd('\0');
    }

    /// <summary>Whether the kernel lets this process set an option that may need CAP_NET_ADMIN: of SO_BUSY_POLL, not every version asks it.</summary>
    public static bool MaySet(int level, int number, int value)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.SetRawSocketOption(level, number, BitConverter.GetBytes(value));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
