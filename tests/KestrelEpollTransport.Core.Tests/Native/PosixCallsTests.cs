using System.Net;
using System.Net.Sockets;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Native.Posix;

namespace KestrelEpollTransport.Tests.Native;

/// <summary>The calls that serve macOS and FreeBSD, over real sockets, with the numbers of the system that runs the tests.</summary>
public sealed unsafe class PosixCallsTests : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Socket _peer = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly SocketAddress _peerAddress = SocketAddresses.CreateBuffer();
    private int _descriptor;

    public PosixCallsTests()
    {
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        _peer.NoDelay = true;
        _peer.Connect(_listener.LocalEndPoint!);
        _descriptor = (int)PosixCalls.Accept((int)_listener.Handle, _peerAddress).Value;
    }

    public void Dispose()
    {
        if (_descriptor >= 0)
        {
            PosixCalls.Close(_descriptor);
        }

        _peer.Dispose();
        _listener.Dispose();
    }

    [Fact]
    public void Accept_TellsThePeer_AndTheLocalAddressIsTheListeners()
    {
        SocketAddress address = SocketAddresses.CreateBuffer();

        Assert.Equal(_peer.LocalEndPoint, SocketAddresses.ToEndPoint(_peerAddress));
        Assert.False(PosixCalls.GetLocalAddress(_descriptor, address).IsError);
        Assert.Equal(_listener.LocalEndPoint, SocketAddresses.ToEndPoint(address));
        Assert.False(PosixCalls.GetPeerAddress(_descriptor, address).IsError);
        Assert.Equal(_peer.LocalEndPoint, SocketAddresses.ToEndPoint(address));
        Assert.Equal(Errno.EBADF, PosixCalls.GetLocalAddress(-1, address).Errno);
    }

    [Fact]
    public void AcceptedSocket_WithNothingToRead_WouldBlock()
    {
        byte buffer;

        Assert.True(PosixCalls.Receive(_descriptor, &buffer, 1).WouldBlock);
        Assert.False(PosixCalls.SetNonBlocking((int)_listener.Handle).IsError);
        Assert.True(PosixCalls.Accept((int)_listener.Handle, _peerAddress).WouldBlock);
    }

    [Fact]
    public void Bytes_InOnePieceAndInSeveral_ArriveInOrder()
    {
        byte* bytes = stackalloc byte[] { 1, 2, 3, 4, 5 };
        IoVector* pieces = stackalloc IoVector[2];
        pieces[0] = new IoVector { Base = bytes + 1, Length = 2 };
        pieces[1] = new IoVector { Base = bytes + 3, Length = 2 };
        Assert.Equal(1, PosixCalls.Send(_descriptor, bytes, 1).Value);
        Assert.Equal(4, PosixCalls.Send(_descriptor, pieces, 2).Value);

        byte[] arrived = new byte[5];
        Assert.Equal(5, _peer.ReceiveAll(arrived));
        Assert.Equal([1, 2, 3, 4, 5], arrived);

        _peer.SendAll(arrived);
        Assert.True(SpinWait.SpinUntil(() => PosixCalls.GetUnreadBytes(_descriptor).Value == 5, Timeouts.Limit));
        byte* received = stackalloc byte[8];
        pieces[0] = new IoVector { Base = received, Length = 3 };
        pieces[1] = new IoVector { Base = received + 3, Length = 5 };
        Assert.Equal(5, PosixCalls.Receive(_descriptor, pieces, 2).Value);
        Assert.Equal([1, 2, 3, 4, 5], new Span<byte>(received, 5).ToArray());
    }

    [Fact]
    public void ShutdownWrite_EndsTheStreamForThePeer()
    {
        Assert.False(PosixCalls.ShutdownWrite(_descriptor).IsError);

        _peer.ReceiveTimeout = (int)Timeouts.Limit.TotalMilliseconds;
        Assert.Equal(0, _peer.Receive(new byte[1]));
        byte one = 1;
        Assert.Equal(Errno.EPIPE, PosixCalls.Send(_descriptor, &one, 1).Errno);
    }

    [Fact]
    public void AbortiveClose_WhereNoResetIsPossible_ResetsThePeer()
    {
        Assert.True(PosixCalls.Reset(_descriptor).IsError);
        Assert.False(PosixCalls.SetAbortiveClose(_descriptor).IsError);
        PosixCalls.Close(_descriptor);
        _descriptor = -1;

        _peer.ReceiveTimeout = (int)Timeouts.Limit.TotalMilliseconds;
        SocketException reset = Assert.Throws<SocketException>(() => _peer.Receive(new byte[1]));
        Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
    }

    [Fact]
    public void SocketError_OfAResetConnection_IsTakenOnce()
    {
        _peer.LingerState = new LingerOption(true, 0);
        _peer.Dispose();

        int error = 0;
        Assert.True(SpinWait.SpinUntil(() => (error = PosixCalls.TakeSocketError(_descriptor)) != 0, Timeouts.Limit));
        Assert.Equal(Errno.ECONNRESET, error);
        Assert.Equal(0, PosixCalls.TakeSocketError(_descriptor));
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    public void CreateStream_AndConnect_ReachAListener(string ip)
    {
        using Socket listener = new(IPAddress.Parse(ip).AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Parse(ip), 0));
        listener.Listen();
        SocketAddress address = listener.LocalEndPoint!.Serialize();
        int descriptor = (int)PosixCalls.CreateStream(address).Value;
        try
        {
            Assert.False(PosixCalls.SetNoDelay(descriptor).IsError);
            IoResult connected = PosixCalls.Connect(descriptor, address);
            Assert.True(connected.Errno is 0 or Errno.EINPROGRESS, $"Error {connected.Errno}.");
            using Socket accepted = listener.Accept();
            Assert.Equal(listener.LocalEndPoint, accepted.LocalEndPoint);
        }
        finally
        {
            PosixCalls.Close(descriptor);
        }
    }

    [Fact]
    public void Duplicate_LivesOnWhenTheOriginalIsClosed()
    {
        int duplicate = (int)PosixCalls.Duplicate(_descriptor, 0).Value;
        PosixCalls.Close(_descriptor);
        _descriptor = duplicate;

        byte one = 7;
        Assert.Equal(1, PosixCalls.Send(duplicate, &one, 1).Value);
        Assert.Equal(1, _peer.Receive(new byte[1]));
        Assert.Equal(Errno.EBADF, PosixCalls.Duplicate(-1, 0).Errno);
        Assert.False(PosixCalls.SetCloseOnExec(duplicate).IsError);
    }
}
