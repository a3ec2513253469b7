using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Listening on a descriptor that someone else opened, as with systemd's socket activation.</summary>
public class FileHandleBindTests
{
    [Theory, AllTransports]
    public async Task Bind_HandleOfABoundSocket_Listens(TransportKind kind)
    {
        using Socket inherited = BoundSocket();
        await using var transport = new Transport(kind);

        IConnectionListener listener = await transport.BindAsync(EndPointOf(inherited));

        Assert.Equal(inherited.LocalEndPoint, listener.EndPoint);
        await BindTests.AssertEchoAsync(listener, listener.EndPoint);
    }

    [Theory, AllTransports]
    public async Task Bind_HandleThatListensAlready_Accepts(TransportKind kind)
    {
        using Socket inherited = BoundSocket();
        inherited.Listen(5);
        await using var transport = new Transport(kind);

        IConnectionListener listener = await transport.BindAsync(EndPointOf(inherited));

        await BindTests.AssertEchoAsync(listener, listener.EndPoint);
    }

    [Theory, AllTransports]
    public async Task Bind_HandleOfAUnixSocket_Accepts(TransportKind kind)
    {
        UnixDomainSocketEndPoint endpoint = Net.NewAbstractEndPoint();
        using var inherited = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        inherited.Bind(endpoint);
        await using var transport = new Transport(kind);

        IConnectionListener listener = await transport.BindAsync(new FileHandleEndPoint((ulong)inherited.Handle, FileHandleType.Auto));

        await BindTests.AssertEchoAsync(listener, endpoint);
    }

    [Theory, AllTransports]
    public async Task Unbind_OfAHandle_LeavesItOpenAndListeningAndEndsAccept(TransportKind kind)
    {
        using Socket inherited = BoundSocket();
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(EndPointOf(inherited));
        Task<ConnectionContext?> accept = listener.AcceptAsync().AsTask();

        await listener.UnbindAsync().OrTimeout();
        Assert.Null(await accept.OrTimeout());
        await listener.DisposeAsync().OrTimeout();

        Assert.True(Libc.IsOpen(inherited.Handle));
        Assert.Equal(1, inherited.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.AcceptConnection));
        using Socket client = await Net.ConnectAsync(inherited.LocalEndPoint!);
        Assert.True(client.Connected);
    }

    [Theory, AllTransports]
    public async Task Bind_HandleUnboundByOneListener_ServesTheNext(TransportKind kind)
    {
        using Socket inherited = BoundSocket();
        await using var transport = new Transport(kind);
        IConnectionListener first = await transport.BindAsync(EndPointOf(inherited));
        await BindTests.AssertEchoAsync(first, first.EndPoint);
        await first.DisposeAsync().OrTimeout();

        // Who connects between two servers waits in the kernel's queue: nothing of that may be lost.
        using Socket between = await Net.ConnectAsync(inherited.LocalEndPoint!);
        IConnectionListener second = await transport.BindAsync(EndPointOf(inherited));

        await using ConnectionContext server = await BindTests.AcceptAsync(second);
        Assert.Equal(between.LocalEndPoint, server.RemoteEndPoint);
    }

    [Theory, AllTransports]
    public async Task Bind_HandleOfARegularFile_ThrowsNotSocket(TransportKind kind)
    {
        string path = Path.GetTempFileName();
        using (var file = File.OpenHandle(path))
        {
            await using var transport = new Transport(kind);
            var endpoint = new FileHandleEndPoint((ulong)file.DangerousGetHandle(), FileHandleType.Auto);

            SocketException error = await Assert.ThrowsAsync<SocketException>(() => transport.BindAsync(endpoint));

            Assert.Equal(SocketError.NotSocket, error.SocketErrorCode);
            Assert.True(Libc.IsOpen(file.DangerousGetHandle()));
        }

        File.Delete(path);
    }

    [Theory, AllTransports]
    public async Task Bind_HandleThatIsNotOpen_ThrowsNotSocket(TransportKind kind)
    {
        await using var transport = new Transport(kind);

        SocketException error = await Assert.ThrowsAsync<SocketException>(
            () => transport.BindAsync(new FileHandleEndPoint(999_999, FileHandleType.Auto)));
        Assert.Equal(SocketError.NotSocket, error.SocketErrorCode);
    }

    [Theory, EpollTransports("Sockets leaves the flag as inherited, so children of the server keep the port")]
    public async Task Bind_InheritedHandle_IsMadeCloseOnExec(TransportKind kind)
    {
        using Socket inherited = BoundSocket();
        Libc.ClearCloseOnExec(inherited.Handle);
        Assert.False(Libc.IsCloseOnExec(inherited.Handle));
        await using var transport = new Transport(kind);

        await transport.BindAsync(EndPointOf(inherited));

        Assert.True(Libc.IsCloseOnExec(inherited.Handle));
    }

    private static Socket BoundSocket()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(Net.AnyLoopbackPort);
        return socket;
    }

    private static FileHandleEndPoint EndPointOf(Socket socket) => new((ulong)socket.Handle, FileHandleType.Tcp);
}
