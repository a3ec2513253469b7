using System.Net.Sockets;
using KestrelEpollTransport.Native;

namespace KestrelEpollTransport.Tests;

/// <summary>A socket that the transport could not take stays as it was, and its caller's.</summary>
public class RefusedSocketTests
{
    [Theory]
    [InlineData(Wire.Tcp, true, true)]
    [InlineData(Wire.Tcp, true, false)]
    [InlineData(Wire.Tcp, false, false)]
    [InlineData(Wire.Unix, true, true)]
    [InlineData(Wire.Unix, false, true)]
    public void Create_ThatFails_LeavesTheSocketAsItWas(Wire wire, bool isBlocking, bool throws)
    {
        using TestTransport transport = new(
            createPoller: () => new ThrowingPoller(
                TransportMode.Adaptive.CreatePoller(), () => throws ? throw new InvalidOperationException("on purpose") : IoResult.Failure(Errno.ENOMEM)));
        using EpollConnectionContextFactory factory = new(transport.Engine);
        using Socket listener = new(wire == Wire.Tcp ? AddressFamily.InterNetwork : AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(wire.NewEndPoint());
        listener.Listen();
        using Socket peer = wire.ConnectTo(listener.LocalEndPoint!);
        using Socket given = listener.Accept();
        SystemCalls.SetNonBlocking((int)given.Handle, nonBlocking: !isBlocking);

        Assert.Throws<SocketException>(() => factory.Create(given));

        Assert.Equal(0, transport.Load);
        Assert.Equal(isBlocking ? 1 : 0, SystemCalls.SetNonBlocking((int)given.Handle).Value);
        given.Send("x"u8);
        Assert.Equal(1, peer.Receive(new byte[1]));
    }
}
