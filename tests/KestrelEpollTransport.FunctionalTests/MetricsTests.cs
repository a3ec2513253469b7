using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using KestrelEpollTransport.FunctionalTests.Documentation;
using KestrelEpollTransport.Listening;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What the instruments tell of connections, loops and listeners; those of scheduling are with its tests.</summary>
public partial class MetricsTests
{
    private const string Ours = "Sockets has none of these instruments.";

    [Theory]
    [EpollTransports(Ours, false)]
    [EpollTransports(Ours, true)]
    public async Task Bytes_OfOpenAndOfEndedConnections_AreCountedOnce(TransportKind kind, bool unix)
    {
        await using var transport = new Metered(kind);
        IConnectionListener listener = await transport.BindAsync(Net.NewEndPoint(unix));
        for (int i = 1; i <= 3; i++)
        {
            using Socket client = await Net.ConnectAsync(listener.EndPoint);
            await using ConnectionContext server = (await listener.AcceptAsync().OrTimeout())!;
            await client.SendAsync("hello");
            await server.Transport.Input.ReadExactlyAsync(5);
            await server.Transport.Output.WriteAsync(new byte[100_000]).OrTimeout();
            await client.ReceiveExactlyAsync(100_000);

            // The client may have received what the server's thread is about to count.
            await Net.UntilAsync(() => transport.Metrics["network.io", "transmit"] == i * 100_000);
            Assert.Equal(i * 5, transport.Metrics["network.io", "receive"]);
            Assert.Equal(1, Connections(transport));

            client.Dispose();
            await server.DisposeAsync().OrTimeout();
            await Net.UntilAsync(() => Connections(transport) == 0);
            Assert.Equal(i * 5, transport.Metrics["network.io", "receive"]);
            Assert.Equal(i * 100_000, transport.Metrics["network.io", "transmit"]);
        }

        Assert.Equal(3, transport.Metrics["connections.accepted", unix ? "unix" : "tcp"]);
        Assert.Equal(0, transport.Metrics["connections.accepted", unix ? "tcp" : "unix"]);
    }

    [Theory, EpollTransports(Ours)]
    public async Task Bytes_ThatTheKernelNeverTook_AreNotCountedAsSent(TransportKind kind)
    {
        await using var transport = new Metered(kind, static options => options.MaxWriteBufferSize = null);
        (Socket client, ConnectionContext server) = await transport.ConnectAsync(slowClient: true);
        await server.Transport.Output.WriteAsync(new byte[Net.MoreThanTheKernelHolds]).OrTimeout();

        double sent = transport.Metrics["network.io", "transmit"];
        client.Reset();
        await server.DisposeAsync().OrTimeout();
        await Net.UntilAsync(() => Connections(transport) == 0);

        Assert.InRange(sent, 1, Net.MoreThanTheKernelHolds - 1);
        Assert.InRange(transport.Metrics["network.io", "transmit"], sent, Net.MoreThanTheKernelHolds - 1);
    }

    [Theory, EpollTransports(Ours)]
    public async Task Paused_WhileTheApplicationDoesNotRead_CountsTheConnection(TransportKind kind)
    {
        await using var transport = new Metered(kind, static options => options.MaxReadBufferSize = 1024);
        (Socket client, ConnectionContext server) = await transport.ConnectAsync();
        byte[] data = new byte[200_000];
        Task send = client.SendAllAsync(data);

        // Without examining it: what is held stays above the bound, and more is in the kernel.
        await Net.UntilAsync(() =>
        {
            if (server.Transport.Input.TryRead(out var read))
            {
                server.Transport.Input.AdvanceTo(read.Buffer.Start, read.Buffer.Start);
            }

            return transport.Metrics["connections.paused", "receive"] == 1;
        });
        Assert.Equal(0, transport.Metrics["connections.paused", "transmit"]);

        await server.Transport.Input.ReadExactlyAsync(data.Length);
        await send.OrTimeout();
        await Net.UntilAsync(() => transport.Metrics["connections.paused", "receive"] == 0);
        client.Dispose();
        await server.DisposeAsync().OrTimeout();
    }

    [Theory, EpollTransports(Ours)]
    public async Task Paused_BehindTheCompletionOfTheReader_IsNobody(TransportKind kind)
    {
        await using var transport = new Metered(kind, static options => options.MaxReadBufferSize = 1024);
        (Socket client, ConnectionContext server) = await transport.ConnectAsync();
        await client.SendAllAsync(new byte[20_000]);
        await Net.UntilAsync(() =>
        {
            if (server.Transport.Input.TryRead(out var read))
            {
                server.Transport.Input.AdvanceTo(read.Buffer.Start, read.Buffer.Start);
            }

            return transport.Metrics["connections.paused", "receive"] == 1;
        });

        await server.Transport.Input.CompleteAsync();

        Assert.Equal(0, transport.Metrics["connections.paused", "receive"]);
        Assert.Equal(1, Connections(transport));
        client.Dispose();
        await server.DisposeAsync().OrTimeout();
    }

    [Theory, EpollTransports(Ours)]
    public async Task Paused_WhileTheClientDoesNotRead_CountsTheConnection(TransportKind kind)
    {
        await using var transport = new Metered(kind);
        (Socket client, ConnectionContext server) = await transport.ConnectAsync(slowClient: true);

        Task flush = server.Transport.Output.WriteAsync(new byte[Net.MoreThanTheKernelHolds]).AsTask();
        await Net.UntilAsync(() => transport.Metrics["connections.paused", "transmit"] == 1);
        Assert.False(flush.IsCompleted);
        Assert.Equal(0, transport.Metrics["connections.paused", "receive"]);

        await client.ReceiveExactlyAsync(Net.MoreThanTheKernelHolds);
        await flush.OrTimeout();
        Assert.Equal(0, transport.Metrics["connections.paused", "transmit"]);
        client.Dispose();
        await server.DisposeAsync().OrTimeout();
    }

    [Theory, EpollTransports(Ours)]
    public async Task Loop_ThatIsAskedAndThenIdle_HasWaitsEventsAndATimeThatStandsStill(TransportKind kind)
    {
        await using var transport = new Metered(kind);
        (Socket client, ConnectionContext server) = await transport.ConnectAsync();
        double waits = transport.Metrics["loop.waits", 0];
        double events = transport.Metrics["loop.events", 0];
        for (int i = 0; i < 20; i++)
        {
            Task<byte[]> read = server.Transport.Input.ReadExactlyAsync(1);
            await client.SendAsync("x");
            await read.OrTimeout();
        }

        Assert.InRange(transport.Metrics["loop.waits", 0], waits + 1, long.MaxValue);
        Assert.InRange(transport.Metrics["loop.events", 0], events + 20, long.MaxValue);

        // Two looks with time between them, in which nobody asked for anything.
        double before = -1;
        await Net.UntilAsync(() => before == (before = transport.Metrics["loop.busy_time", 0]));
        Assert.InRange(before, double.Epsilon, Timeouts.Limit.TotalSeconds * 2);
        client.Dispose();
        await server.DisposeAsync().OrTimeout();
    }

    [Fact]
    public async Task Loop_InALongDispatch_IsBusyForAsLong_AndWorkForItWaits()
    {
        await using var transport = new Metered(TransportKind.EpollInline);
        (Socket client, ConnectionContext server) = await transport.ConnectAsync();
        (Socket other, ConnectionContext waiting) = await transport.ConnectAsync();
        Task<ReadResult> pending = waiting.Transport.Input.ReadAsync().AsTask();
        using var entered = new ManualResetEventSlim();
        using var release = new ManualResetEventSlim();
        Task handler = HoldLoopAsync();
        await client.SendAsync("x");
        Assert.True(entered.Wait(Timeouts.Limit));

        double before = transport.Metrics["loop.busy_time", 0];
        long began = Stopwatch.GetTimestamp();
        await Net.UntilAsync(() => Stopwatch.GetElapsedTime(began).TotalMilliseconds > 50);
        double least = Stopwatch.GetElapsedTime(began).TotalSeconds;
        double after = transport.Metrics["loop.busy_time", 0];
        Assert.Equal(0, transport.Metrics["queue.length", "loop"]);
        waiting.Transport.Input.CancelPendingRead();
        Assert.Equal(1, transport.Metrics["queue.length", "loop"]);
        release.Set();
        await handler.OrTimeout();

        Assert.True((await pending.OrTimeout()).IsCanceled);
        Assert.Equal(0, transport.Metrics["queue.length", "loop"]);
        Assert.InRange(after - before, least, Timeouts.Limit.TotalSeconds);
        other.Dispose();
        await waiting.DisposeAsync().OrTimeout();
        client.Dispose();
        await server.DisposeAsync().OrTimeout();

        async Task HoldLoopAsync()
        {
            // On the loop's thread, and not in the runner's context.
            ReadResult read = await server.Transport.Input.ReadAsync().ConfigureAwait(false);
            server.Transport.Input.AdvanceTo(read.Buffer.End);
            entered.Set();
            release.Wait(Timeouts.Limit);
        }
    }

    [Theory, EpollTransports(Ours)]
    public async Task Listener_ThatNobodyTakesFrom_QueuesPausesAndRefusesAtItsEnd(TransportKind kind)
    {
        await using var transport = new Metered(kind);
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);
        List<Socket> clients = [];
        for (int i = 0; i < AcceptPlaces.Limit + 20; i++)
        {
            clients.Add(await Net.ConnectAsync(listener.EndPoint));
        }

        await Net.UntilAsync(() => transport.Metrics["accept.pauses", "queue_full"] > 0);
        Assert.Equal(0, transport.Metrics["accept.pauses", "back_off"]);
        double queued = transport.Metrics["queue.length", "accepted"];
        // Less what other threads of the loop have a place for, and are about to queue.
        Assert.InRange(queued, AcceptPlaces.Limit - 3, AcceptPlaces.Limit);
        Assert.Equal(0, transport.Metrics["connections.refused", "unbound"]);

        await listener.DisposeAsync().OrTimeout();
        Assert.InRange(transport.Metrics["connections.refused", "unbound"], queued, AcceptPlaces.Limit);
        Assert.Equal(0, transport.Metrics["queue.length", "accepted"]);
        clients.ForEach(static client => client.Dispose());
    }

    [Theory, EpollTransports(Ours)]
    public async Task Listener_ThatBacksOff_CountsAPause(TransportKind kind)
    {
        await using var transport = new Metered(kind);
        var listener = (EpollListener)await transport.BindAsync(Net.AnyLoopbackPort);

        listener.BackOff(new IOException("on purpose"));

        Assert.Equal(1, transport.Metrics["accept.pauses", "back_off"]);
        Assert.Equal(0, transport.Metrics["accept.pauses", "queue_full"]);
        (await Net.ConnectAsync(listener.EndPoint)).Dispose();
        await using ConnectionContext? afterwards = await listener.AcceptAsync().OrTimeout();
        Assert.NotNull(afterwards);
    }

    [Theory, EpollTransports(Ours)]
    public async Task Refused_ByTheLimitOfAnAddress_IsToldByTheTransportsOwnInstrument(TransportKind kind)
    {
        await using KestrelHost host = await KestrelHost.StartAsync(
            kind,
            static _ => Task.CompletedTask,
            static listen => listen.UseConnectionLimits(static limits => limits.MaxConnectionsPerAddress = 1));
        using var metrics = new MetricsRecorder(host.App.Services);
        using Socket first = await host.ConnectAsync();
        await first.SendAsync("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await first.ReceiveTextAsync(8);
        await AssertResetAsync(host.EndPoint);

        Assert.Equal(1, metrics["connections.refused", "address_limit"]);
        Assert.Single(metrics.Instruments, static instrument => instrument.Name == "epoll_transport.connections.refused");
    }

    [Theory, EpollTransports(Ours)]
    public async Task Refused_ByConfigureAcceptedSocket_IsCounted(TransportKind kind)
    {
        await using var transport = new Metered(kind, static options => options.Sockets.ConfigureAcceptedSocket = static socket => socket.Dispose());
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);

        await AssertResetAsync(listener.EndPoint);

        Assert.Equal(1, transport.Metrics["connections.refused", "application"]);
        Assert.Equal(0, transport.Metrics["connections.accepted", "tcp"]);
    }

    [Theory]
    [InlineData(true, "TooManyOpenSockets")]
    [InlineData(false, "System.FormatException")]
    public async Task AcceptErrors_HaveTheNameOfASocketErrorOrTheTypeOfAnotherException(bool isSocketError, string name)
    {
        await using var transport = new Metered(TransportKind.EpollAdaptive, options => options.Sockets.ConfigureAcceptedSocket =
            _ => throw (isSocketError ? new SocketException((int)SocketError.TooManyOpenSockets) : new FormatException("on purpose")));
        IConnectionListener listener = await transport.BindAsync(Net.AnyLoopbackPort);

        await AssertResetAsync(listener.EndPoint);

        await Net.UntilAsync(() => transport.Metrics["connections.refused", "application"] == 1);
        await Net.UntilAsync(() => transport.Metrics["accept.errors", name] == 1);
    }

    [Fact]
    public async Task Instruments_AreThoseOfThePage_WithTheirUnitsAndBoundedTags()
    {
        string page = await File.ReadAllTextAsync(Path.Combine(Pages.Repository, "docs", "metrics.md"));
        (string Name, string Unit)[] documented = [.. RowPattern().Matches(page).Select(static row => (row.Groups[1].Value, row.Groups[2].Value))];
        await using KestrelHost host = await KestrelHost.StartAsync(
            TransportKind.EpollAdaptive,
            app =>
            {
                app.UseLoadShedding();
                app.Run(static _ => Task.CompletedTask);
            },
            static listen => listen.UseConnectionLimits(static limits => limits.MaxConnectionsPerAddress = 1));
        using var metrics = new MetricsRecorder(host.App.Services);
        using HttpClient client = host.CreateClient();
        await client.GetAsync(new Uri("/", UriKind.Relative)).OrTimeout();
        _ = metrics["workers"];

        Assert.Equal(
            documented.Order(),
            metrics.Instruments.Select(static instrument => (instrument.Name, instrument.Unit!)).Order());
        Assert.All(metrics.Instruments, static instrument => Assert.Matches("^epoll_transport(\\.[a-z_]+)+$", instrument.Name));
        Assert.All(metrics.Instruments, static instrument => Assert.NotEmpty(instrument.Description!));
        var queueing = (Histogram<double>)Assert.Single(metrics.Instruments, static instrument => instrument is Histogram<double>);
        Assert.Equal(
            [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
            queueing.Advice!.HistogramBucketBoundaries!);
        Assert.All(metrics.Tags, tag => Assert.Contains($"`{tag.Tag}`", page, StringComparison.Ordinal));
        Assert.All(metrics.Tags, tag => Assert.True(
            (tag.Tag == "epoll_transport.loop" && int.Parse(tag.Value) < 64) || page.Contains($"`{tag.Value}`", StringComparison.Ordinal), $"{tag}"));
    }

    // Which may be so soon that it ends the connecting.
    private static async Task AssertResetAsync(EndPoint endPoint)
    {
        SocketException error = await Assert.ThrowsAsync<SocketException>(async () =>
        {
            using Socket client = await Net.ConnectAsync(endPoint);
            await client.ReceiveToEndAsync();
        });
        Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
    }

    private static double Connections(Metered transport) => transport.Metrics["loop.connections", 0];

    // A row of a table: an instrument and its unit.
    [GeneratedRegex(@"^\| `(epoll_transport\.[a-z_.]+)` \| `([^`]+)` \|", RegexOptions.Multiline)]
    private static partial Regex RowPattern();
}
