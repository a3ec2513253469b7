using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>Binding of unix sockets: the file's life and mode, and abstract names.</summary>
public class UnixSocketBindTests
{
    private const UnixFileMode Everything = (UnixFileMode)0b111_111_111;

    /// <summary>What the process's umask leaves of 0777: 0755 with the usual one. A fresh folder shows it.</summary>
    private static readonly UnixFileMode s_modeOfNewFiles = ModeOfANewFolder() & Everything;

    [Theory, AllTransports]
    public async Task Bind_UnixPath_MakesTheFileWithTheUmask(TransportKind kind)
    {
        string path = Net.NewUnixPath();
        await using var transport = new Transport(kind);

        IConnectionListener listener = await transport.BindAsync(new UnixDomainSocketEndPoint(path));

        Assert.True(File.Exists(path));
        Assert.Equal(s_modeOfNewFiles, File.GetUnixFileMode(path));
        Assert.Equal(path, listener.EndPoint.ToString());
        await BindTests.AssertEchoAsync(listener, listener.EndPoint);
    }

    [Theory, AllTransports]
    public async Task EndPoints_OfUnixConnection_AreThePathAndNothing(TransportKind kind)
    {
        string path = Net.NewUnixPath();
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(kind, endpoint: new UnixDomainSocketEndPoint(path));

        Assert.Equal(path, Assert.IsType<UnixDomainSocketEndPoint>(pair.Server.LocalEndPoint).ToString());
        Assert.Equal(string.Empty, Assert.IsType<UnixDomainSocketEndPoint>(pair.Server.RemoteEndPoint).ToString());
    }

    [Theory, AllTransports]
    public async Task Unbind_OfUnixPath_DeletesTheFile(TransportKind kind)
    {
        string path = Net.NewUnixPath();
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(new UnixDomainSocketEndPoint(path));
        Assert.True(File.Exists(path));

        await listener.UnbindAsync().OrTimeout();

        Assert.False(File.Exists(path));
        IConnectionListener again = await transport.BindAsync(new UnixDomainSocketEndPoint(path));
        await BindTests.AssertEchoAsync(again, again.EndPoint);
    }

    [Theory, AllTransports]
    public async Task Dispose_OfUnixPathWithoutUnbind_DeletesTheFile(TransportKind kind)
    {
        string path = Net.NewUnixPath();
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(new UnixDomainSocketEndPoint(path));

        await listener.DisposeAsync().OrTimeout();

        Assert.False(File.Exists(path));
    }

    [Theory, AllTransports]
    public async Task Bind_UnixPathThatExists_ThrowsAddressInUseAndKeepsTheFile(TransportKind kind)
    {
        string path = Net.NewUnixPath();
        await File.WriteAllTextAsync(path, "someone else's").OrTimeout();
        await using var transport = new Transport(kind);

        await Assert.ThrowsAsync<AddressInUseException>(() => transport.BindAsync(new UnixDomainSocketEndPoint(path)));

        Assert.Equal("someone else's", await File.ReadAllTextAsync(path).OrTimeout());
        File.Delete(path);
    }

    [Theory, AllTransports]
    public async Task Bind_UnixPathTwice_ThrowsAddressInUseAndFirstGoesOn(TransportKind kind)
    {
        var endpoint = new UnixDomainSocketEndPoint(Net.NewUnixPath());
        await using var transport = new Transport(kind);
        IConnectionListener first = await transport.BindAsync(endpoint);

        await Assert.ThrowsAsync<AddressInUseException>(() => transport.BindAsync(endpoint));

        await BindTests.AssertEchoAsync(first, endpoint);
    }

    [Theory, AllTransports]
    public async Task Bind_UnixPathInMissingFolder_ThrowsRawSocketException(TransportKind kind)
    {
        string path = Path.Combine(Path.GetTempPath(), $"ket-{Guid.NewGuid():N}", "socket");
        await using var transport = new Transport(kind);

        SocketException error = await Assert.ThrowsAsync<SocketException>(() => transport.BindAsync(new UnixDomainSocketEndPoint(path)));
        Assert.Equal(SocketError.AddressNotAvailable, error.SocketErrorCode);
    }

    [Theory, AllTransports]
    public async Task Bind_AbstractName_WorksWithoutAFile(TransportKind kind)
    {
        UnixDomainSocketEndPoint endpoint = Net.NewAbstractEndPoint();
        await using var transport = new Transport(kind);

        IConnectionListener listener = await transport.BindAsync(endpoint);

        Assert.Equal(endpoint.ToString(), listener.EndPoint.ToString());
        Assert.StartsWith("@ket-", listener.EndPoint.ToString(), StringComparison.Ordinal);
        Assert.False(File.Exists(listener.EndPoint.ToString()));
        await BindTests.AssertEchoAsync(listener, endpoint);
    }

    private static UnixFileMode ModeOfANewFolder()
    {
        string folder = Path.Combine(Path.GetTempPath(), $"ket-{Guid.NewGuid():N}");
        UnixFileMode mode = Directory.CreateDirectory(folder).UnixFileMode;
        Directory.Delete(folder);
        return mode;
    }
}
