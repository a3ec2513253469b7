using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What a factory owns ends with it. Sockets owns no threads and can't be disposed.</summary>
[Collection(RunsAlone.Name)]
public class FactoryLifetimeTests
{
    private const string Why = "Sockets has no threads of its own and can't be disposed";

    [Theory, EpollTransports(Why)]
    public async Task Dispose_OfTheFactory_EndsItsLoopThreads(TransportKind kind)
    {
        var before = LoopThreads();
        var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        await BindTests.AssertEchoAsync(listener, listener.EndPoint);
        var started = LoopThreads().Except(before).ToArray();
        Assert.NotEmpty(started);

        await transport.DisposeAsync().AsTask().OrTimeout();

        // The names are the kernel's, which cuts them to 15 characters; a thread is gone a moment after its last line.
        for (DateTime end = DateTime.UtcNow + Timeouts.Limit; LoopThreads().Intersect(started).Any(); await Task.Yield())
        {
            Assert.True(DateTime.UtcNow < end, "A loop's thread outlived its factory.");
        }
    }

    [Theory, EpollTransports(Why)]
    public async Task Bind_OnADisposedFactory_ThrowsObjectDisposed(TransportKind kind)
    {
        var factory = kind.CreateListenerFactory(EpollConnectionFactoryTests.OptionsOf(kind), new LogRecorder());
        factory.Dispose();
        factory.Dispose();

        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await factory.BindAsync(Net.AnyLoopbackPort));
    }

    [Theory, EpollTransports(Why)]
    public async Task Dispose_OfTheFactory_EndsPendingReadsOfItsConnections(TransportKind kind)
    {
        ConnectionPair pair = await ConnectionPair.CreateAsync(kind);
        Task read = pair.Input.ReadAsync().AsTask();

        await pair.DisposeAsync().AsTask().OrTimeout();

        // How it ends depends on who is first, the client's end or the disposal; that it ends does not.
        await read.ContinueWith(_ => { }, TaskScheduler.Default).OrTimeout();
    }

    [Fact]
    public void Constructors_GivenNull_ThrowArgumentNull()
    {
        IOptions<EpollTransportOptions> options = Options.Create(new EpollTransportOptions());
        var logs = new LogRecorder();

        Assert.Throws<ArgumentNullException>(() => new EpollTransportFactory(null!, logs));
        Assert.Throws<ArgumentNullException>(() => new EpollTransportFactory(options, null!));
        Assert.Throws<ArgumentNullException>(() => new EpollConnectionFactory(null!, logs));
        Assert.Throws<ArgumentNullException>(() => new EpollConnectionFactory(options, null!));
        Assert.Throws<ArgumentNullException>(() => new EpollConnectionContextFactory(null!, logs));
        Assert.Throws<ArgumentNullException>(() => new EpollConnectionContextFactory(options, null!));
    }

    [Theory, EpollTransports("Sockets lets a NullReferenceException out")]
    public async Task Bind_Null_ThrowsArgumentNull(TransportKind kind)
    {
        await using var transport = new Transport(kind);

        await Assert.ThrowsAsync<ArgumentNullException>(() => transport.BindAsync(null!));
    }

    [Theory, AllTransports]
    public async Task ManyConnections_OpenedAndClosed_LeaveNoDescriptor(TransportKind kind)
    {
        await using var transport = new Transport(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        for (int i = 0; i < 300; i++)
        {
            using Socket client = await Net.ConnectAsync(listener.EndPoint);
            ConnectionContext server = await BindTests.AcceptAsync(listener);
            switch (i % 3)
            {
                case 0:
                    server.Abort();
                    break;
                case 1:
                    client.Reset();
                    break;
                default:
                    Assert.NotNull(server.Features.Get<Microsoft.AspNetCore.Connections.Features.IConnectionSocketFeature>()!.Socket);
                    break;
            }

            await server.DisposeAsync().OrTimeout();
        }

        // The other end's port tells whose a descriptor is, whatever other tests open meanwhile.
        int port = ((System.Net.IPEndPoint)listener.EndPoint).Port;
        for (DateTime end = DateTime.UtcNow + Timeouts.Limit; OpenSocketsOf(port) > 1; await Task.Yield())
        {
            Assert.True(DateTime.UtcNow < end, $"{OpenSocketsOf(port)} sockets on the listener's port are still open.");
        }
    }

    private static int OpenSocketsOf(int port)
    {
        string[] own = [.. Directory.GetFiles("/proc/self/fd").Select(fd => new FileInfo(fd).LinkTarget).OfType<string>()];
        return File.ReadLines("/proc/net/tcp").Skip(1)
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Count(f => f[1].EndsWith($":{port:X4}", StringComparison.Ordinal) && own.Contains($"socket:[{f[9]}]"));
    }

    private static HashSet<string> LoopThreads()
    {
        var threads = new HashSet<string>();
        foreach (string task in Directory.GetDirectories("/proc/self/task"))
        {
            try
            {
                if (File.ReadAllText(Path.Combine(task, "comm")).StartsWith("epoll loop", StringComparison.Ordinal))
                {
                    threads.Add(task);
                }
            }
            catch (IOException)
            {
                // A thread that ended between the listing and the look.
            }
        }

        return threads;
    }
}
