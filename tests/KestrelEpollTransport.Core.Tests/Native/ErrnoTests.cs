using System.Net.Sockets;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Tests.Native;

public class ErrnoTests
{
    [Fact]
    public void ToException_OfTheTwoLimitsOfOpenFiles_SaysWhichOneItIs()
    {
        SocketException process = Errno.ToException(Errno.EMFILE);
        SocketException system = Errno.ToException(Errno.ENFILE);

        Assert.Equal(SocketError.TooManyOpenSockets, process.SocketErrorCode);
        Assert.Equal(SocketError.TooManyOpenSockets, system.SocketErrorCode);
        Assert.Contains("this process", process.Message, StringComparison.Ordinal);
        Assert.Contains("ulimit -n", process.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("system", process.Message, StringComparison.Ordinal);
        Assert.Contains("LimitNOFILE", process.Message, StringComparison.Ordinal);
        Assert.Contains("whole system", system.Message, StringComparison.Ordinal);
        Assert.Contains("fs.file-max", system.Message, StringComparison.Ordinal);
    }
}
