using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Posix;
using Tmds.Linux;

namespace KestrelEpollTransport.Tests.Native;

/// <summary>The table of Linux, which lets the calls of the other systems run here, against the binding's constants.</summary>
public class LinuxNumbersTests
{
    [Fact]
    public void Numbers_AreThoseOfTheBinding()
    {
        SystemNumbers linux = SystemNumbers.Linux;

        Assert.Equal((int)(ushort)LibC.AF_INET6, linux.AF_INET6);
        Assert.Equal(LibC.SOL_SOCKET, linux.SOL_SOCKET);
        Assert.Equal(LibC.SO_ERROR, linux.SO_ERROR);
        Assert.Equal(LibC.SO_LINGER, linux.SO_LINGER);
        Assert.Equal(LibC.SO_ACCEPTCONN, linux.SO_ACCEPTCONN);
        Assert.Equal(LibC.MSG_DONTWAIT, linux.MSG_DONTWAIT);
        Assert.Equal(LibC.MSG_NOSIGNAL, linux.MSG_NOSIGNAL);
        Assert.Equal(LibC.O_NONBLOCK, linux.O_NONBLOCK);
        Assert.Equal(LibC.F_DUPFD_CLOEXEC, linux.F_DUPFD_CLOEXEC);
        Assert.Equal((nuint)LibC.FIONREAD, linux.FIONREAD);
        Assert.Equal(LibC.SOCK_NONBLOCK | LibC.SOCK_CLOEXEC, linux.CreationFlags);
        Assert.Equal(Errno.EAGAIN, LibC.EAGAIN);
    }
}
