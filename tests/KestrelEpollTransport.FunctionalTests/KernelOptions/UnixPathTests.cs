using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests.KernelOptions;

/// <summary>The mode of a unix socket's file, and the file that a server which was killed has left.</summary>
public sealed class UnixPathTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ket-").FullName;

    private string Path => System.IO.Path.Combine(_folder, "s");

    private UnixDomainSocketEndPoint EndPoint => new(Path);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.UserWrite, false)]
    [InlineData((UnixFileMode)0b110_110_110, false)]
    [InlineData((UnixFileMode)0b110_110_000, true)]
    [InlineData((UnixFileMode)0b111_111_111, true)]
    public async Task Mode_OfTheFile_IsTheOptionsWhateverTheUmask(UnixFileMode mode, bool ownFunction)
    {
        EpollTransportOptions options = new() { LoopCount = 1, Sockets = { UnixFileMode = mode } };
        if (ownFunction)
        {
            options.CreateBoundListenSocket = endpoint => EpollTransportOptions.CreateDefaultBoundListenSocket(endpoint);
        }

        using EpollTransportFactory factory = Factory(options);
        await using IConnectionListener listener = await factory.BindAsync(EndPoint).OrTimeout();

        Assert.Equal(mode, File.GetUnixFileMode(Path));
        await BindTests.AssertEchoAsync(listener, EndPoint);
    }

    [Fact]
    public async Task Mode_ThatCantBeSet_NamesTheOption()
    {
        EpollTransportOptions options = new() { LoopCount = 1, Sockets = { UnixFileMode = UnixFileMode.UserWrite } };
        options.CreateBoundListenSocket = _ => Bind(new UnixDomainSocketEndPoint(Path + ".elsewhere"));
        using EpollTransportFactory factory = Factory(options);

        SocketException error = await Assert.ThrowsAsync<SocketException>(() => factory.BindAsync(EndPoint).OrTimeout());

        Assert.Contains("EpollTransportOptions.Sockets.UnixFileMode", error.Message, StringComparison.Ordinal);
        Assert.Contains(Path, error.Message, StringComparison.Ordinal);
    }

    /// <remarks>Whoever may write to the file may connect: nobody has to read it. Not seen by a user who may read everything.</remarks>
    [Fact]
    public async Task StaleFile_ThatNobodyMayRead_IsReplacedAndServed()
    {
        LeaveStaleFile();
        File.SetUnixFileMode(Path, (UnixFileMode)0b010_010_010);
        using EpollTransportFactory factory = Factory();

        await using IConnectionListener listener = await factory.BindAsync(EndPoint).OrTimeout();

        await BindTests.AssertEchoAsync(listener, EndPoint);
    }

    /// <remarks>A child of a server that was killed must not keep the path. O_CLOEXEC is 0x80000; proc(5) has it in octal.</remarks>
    [Fact]
    public async Task Lock_IsNotInheritedByChildren()
    {
        using EpollTransportFactory factory = Factory();
        await using IConnectionListener listener = await factory.BindAsync(EndPoint).OrTimeout();

        FileInfo descriptor = Assert.Single(new DirectoryInfo("/proc/self/fd").GetFiles(), each => each.LinkTarget == Path + ".lock");

        string[] status = await File.ReadAllLinesAsync($"/proc/self/fdinfo/{descriptor.Name}").OrTimeout();
        string flags = Assert.Single(status, static line => line.StartsWith("flags:", StringComparison.Ordinal));
        Assert.NotEqual(0, Convert.ToInt32(flags.Split('\t')[1], 8) & 0x80000);
    }

    [Fact]
    public async Task StaleFile_IsReplacedAndServed()
    {
        LeaveStaleFile();
        using EpollTransportFactory factory = Factory();

        IConnectionListener listener = await factory.BindAsync(EndPoint).OrTimeout();

        await BindTests.AssertEchoAsync(listener, EndPoint);
        await listener.DisposeAsync().OrTimeout();
        Assert.False(File.Exists(Path));
        IConnectionListener again = await factory.BindAsync(EndPoint).OrTimeout();
        await BindTests.AssertEchoAsync(again, EndPoint);
        await again.DisposeAsync().OrTimeout();
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path + ".lock"));
    }

    [Fact]
    public async Task StaleFile_WithoutTheOption_IsInUseAndStays()
    {
        LeaveStaleFile();
        using EpollTransportFactory factory = Factory(new EpollTransportOptions { LoopCount = 1 });

        await Assert.ThrowsAsync<AddressInUseException>(() => factory.BindAsync(EndPoint).OrTimeout());

        Assert.True(File.Exists(Path));
        Assert.False(File.Exists(Path + ".lock"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task ServerWithoutTheOption_ThatListens_KeepsItsFile(bool isFull)
    {
        using Socket other = Bind(EndPoint);
        other.Listen(0);
        using Socket first = await Net.ConnectAsync(EndPoint);
        if (!isFull)
        {
            (await other.AcceptAsync().OrTimeout()).Dispose();
        }

        using EpollTransportFactory factory = Factory();

        await Assert.ThrowsAsync<AddressInUseException>(() => factory.BindAsync(EndPoint).OrTimeout());

        Assert.True(File.Exists(Path));
        using Socket accepted = await other.AcceptAsync().OrTimeout();
        Assert.True(accepted.Connected);
    }

    [Fact]
    public async Task SocketOfAnotherType_KeepsItsFile()
    {
        using var other = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        other.Bind(EndPoint);
        using EpollTransportFactory factory = Factory();

        await Assert.ThrowsAsync<AddressInUseException>(() => factory.BindAsync(EndPoint).OrTimeout());

        Assert.True(File.Exists(Path));
    }

    [Fact]
    public async Task FileThatIsNoSocket_Stays()
    {
        await File.WriteAllTextAsync(Path, "someone else's").OrTimeout();
        using EpollTransportFactory factory = Factory();

        await Assert.ThrowsAsync<AddressInUseException>(() => factory.BindAsync(EndPoint).OrTimeout());

        Assert.Equal("someone else's", await File.ReadAllTextAsync(Path).OrTimeout());
    }

    [Fact]
    public async Task LinkToAStaleFile_Stays()
    {
        string target = System.IO.Path.Combine(_folder, "target");
        LeaveStaleFile();
        File.Move(Path, target);
        File.CreateSymbolicLink(Path, target);
        using EpollTransportFactory factory = Factory();

        await Assert.ThrowsAsync<AddressInUseException>(() => factory.BindAsync(EndPoint).OrTimeout());

        Assert.Equal(target, new FileInfo(Path).LinkTarget);
    }

    [Fact]
    public async Task LockThatIsALink_IsNotFollowed()
    {
        string target = System.IO.Path.Combine(_folder, "target");
        File.CreateSymbolicLink(Path + ".lock", target);
        using EpollTransportFactory factory = Factory();

        SocketException error = await Assert.ThrowsAsync<SocketException>(() => factory.BindAsync(EndPoint).OrTimeout());

        Assert.Contains(Path + ".lock", error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(target));
    }

    [Fact]
    public async Task MissingFolder_IsWhatBindSaysOfIt()
    {
        using EpollTransportFactory factory = Factory();
        string path = System.IO.Path.Combine(_folder, "missing", "s");

        SocketException error = await Assert.ThrowsAsync<SocketException>(() => factory.BindAsync(new UnixDomainSocketEndPoint(path)).OrTimeout());

        Assert.Equal(SocketError.AddressNotAvailable, error.SocketErrorCode);
    }

    /// <remarks>
    /// Each has a lock of its own description, as two processes have. Without the lock both find the file stale, and the second one removes the file of
    /// the first, which then serves nobody and does not know.
    /// </remarks>
    [Fact]
    public async Task TwoServersThatStartAtOnce_OneServesAndTheOtherReports()
    {
        using EpollTransportFactory one = Factory();
        using EpollTransportFactory two = Factory();
        for (int round = 0; round < 200; round++)
        {
            LeaveStaleFile();
            using var start = new Barrier(2);

            IConnectionListener?[] listeners = await Task.WhenAll(BindAtOnceAsync(one, start), BindAtOnceAsync(two, start)).OrTimeout();

            IConnectionListener listener = Assert.Single(listeners, each => each is not null)!;
            await BindTests.AssertEchoAsync(listener, EndPoint);
            await listener.DisposeAsync().OrTimeout();
            Assert.False(File.Exists(Path));
        }
    }

    /// <remarks>Whoever stops removes its file: that of the successor must not be the one.</remarks>
    [Fact]
    public async Task ServerThatStops_NeverRemovesTheFileOfItsSuccessor()
    {
        EpollTransportFactory[] factories = [Factory(), Factory()];
        IConnectionListener serving = await factories[0].BindAsync(EndPoint).OrTimeout();
        for (int round = 1; round <= 200; round++)
        {
            EpollTransportFactory factory = factories[round % 2];
            Task stop = Task.Run(() => serving.DisposeAsync().AsTask());
            IConnectionListener? next = null;
            for (long deadlineMs = Environment.TickCount64 + (long)Timeouts.Limit.TotalMilliseconds; next is null; next = await TryBindAsync(factory))
            {
                Assert.True(Environment.TickCount64 < deadlineMs, "The lock of a server that has stopped was not free.");
            }

            await stop.OrTimeout();
            Assert.True(File.Exists(Path));
            await BindTests.AssertEchoAsync(next!, EndPoint);
            serving = next!;
        }

        await serving.DisposeAsync().OrTimeout();
        Array.ForEach(factories, static factory => factory.Dispose());
    }

    private Task<IConnectionListener?> BindAtOnceAsync(EpollTransportFactory factory, Barrier start) => Task.Factory.StartNew(
        () =>
        {
            Assert.True(start.SignalAndWait(Timeouts.Limit));
            return TryBindAsync(factory);
        },
        CancellationToken.None,
        TaskCreationOptions.LongRunning,
        TaskScheduler.Default).Unwrap();

    private async Task<IConnectionListener?> TryBindAsync(EpollTransportFactory factory)
    {
        try
        {
            return await factory.BindAsync(EndPoint);
        }
        catch (AddressInUseException)
        {
            return null;
        }
    }

    // As of a server that was killed: one that is closed by the framework removes its file.
    private void LeaveStaleFile()
    {
        string moved = Path + ".moved";
        using (Bind(new UnixDomainSocketEndPoint(moved)))
        {
            File.Move(moved, Path, overwrite: true);
        }

        Assert.True(File.Exists(Path));
    }

    private static Socket Bind(UnixDomainSocketEndPoint endPoint)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(endPoint);
        return socket;
    }

    private static EpollTransportFactory Factory(EpollTransportOptions? options = null) =>
        new(Options.Create(options ?? new EpollTransportOptions { LoopCount = 1, Sockets = { RemoveStaleUnixSocket = true } }), NullLoggerFactory.Instance);
}
