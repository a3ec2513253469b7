using System.Diagnostics;
using System.IO.Pipes;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace KestrelEpollTransport.FunctionalTests.Restarting;

/// <summary>Listening sockets that one process has after the other. Successors are processes of their own.</summary>
[Collection(RunsAlone.Name)]
public class ListenerHandoverTests
{
    private const string WhyNotSockets = "Sockets hands nothing over";

    [Theory]
    [EpollTransports(WhyNotSockets, false), EpollTransports(WhyNotSockets, true)]
    public async Task Successor_OfAServer_HasItsSocketAndQueue(TransportKind kind, bool unix)
    {
        string path = Net.NewUnixPath();
        using IHost host = HandoverServer.Build(kind);
        var handover = host.Services.GetRequiredService<ListenerHandover>();
        IConnectionListener listener = await BindAsync(host, unix ? new UnixDomainSocketEndPoint(path) : Net.AnyLoopbackPort);
        Assert.False(handover.HasPredecessor);

        using Process successor = await handover.StartSuccessorAsync(StartInfo(kind, unix ? path : HandoverServer.NoPath)).OrTimeout();

        try
        {
            // Both have it now: of what we unbind, nothing but our share goes.
            Assert.True(handover.HasSuccessor);
            await listener.UnbindAsync().OrTimeout();
            await listener.DisposeAsync().OrTimeout();
            for (int i = 0; i < 3; i++)
            {
                Assert.Equal(successor.Id, await HandoverServer.AskAsync(listener.EndPoint));
            }

            int? port = (listener.EndPoint as IPEndPoint)?.Port;
            Assert.Equal($"True {port}", await ReadLineAsync(successor));

            // What is bound from now on the successor does not have.
            string later = Net.NewUnixPath();
            await using (await BindAsync(host, new UnixDomainSocketEndPoint(later)))
            {
                Assert.True(File.Exists(later));
            }

            Assert.False(File.Exists(later));
            await Assert.ThrowsAsync<InvalidOperationException>(() => handover.StartSuccessorAsync(StartInfo(kind, HandoverServer.NoPath)));

            // The last one of the line closes it: nobody is left, and no file.
            await successor.StandardInput.WriteLineAsync("unbind");
            Assert.Equal("did unbind", await ReadLineAsync(successor));
            await Assert.ThrowsAsync<SocketException>(() => Net.ConnectAsync(listener.EndPoint));
            Assert.False(File.Exists(path));
        }
        finally
        {
            await EndAsync(successor);
        }
    }

    [Theory, EpollTransports(WhyNotSockets)]
    public async Task Successor_ThatEndsBeforeItServes_ChangesNothing(TransportKind kind)
    {
        using IHost host = HandoverServer.Build(kind);
        var handover = host.Services.GetRequiredService<ListenerHandover>();
        await using IConnectionListener listener = await BindAsync(host, Net.AnyLoopbackPort);
        Task serving = HandoverServer.ServeAsync(listener);
        var failing = new ProcessStartInfo("/bin/sh") { ArgumentList = { "-c", "exit 3" } };

        // Once for what the runtime opens for the first child of a process.
        await Assert.ThrowsAsync<InvalidOperationException>(() => handover.StartSuccessorAsync(failing).OrTimeout());
        int descriptors = CountSocketsAndPipes();
        await Assert.ThrowsAsync<InvalidOperationException>(() => handover.StartSuccessorAsync(failing).OrTimeout());

        Assert.False(handover.HasSuccessor);
        Assert.False(failing.Environment.ContainsKey(ListenerHandover.EnvironmentVariable));
        Assert.Equal(descriptors, CountSocketsAndPipes());
        Assert.Equal(Environment.ProcessId, await HandoverServer.AskAsync(listener.EndPoint));
        await listener.UnbindAsync().OrTimeout();
        await serving.OrTimeout();
    }

    [Theory, EpollTransports(WhyNotSockets)]
    public async Task Successor_ThatDoesNotServeInTime_IsKilled(TransportKind kind)
    {
        using IHost host = HandoverServer.Build(kind);
        var handover = host.Services.GetRequiredService<ListenerHandover>();
        await using IConnectionListener listener = await BindAsync(host, Net.AnyLoopbackPort);
        using var timeout = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        var hanging = new ProcessStartInfo("/bin/sh") { ArgumentList = { "-c", "echo $$; exec sleep 600" }, RedirectStandardOutput = true };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => handover.StartSuccessorAsync(hanging, timeout.Token).OrTimeout());

        Assert.False(handover.HasSuccessor);

        // Its descriptor of the port went with it: bound again, it is free.
        await listener.DisposeAsync().OrTimeout();
        await UntilAsync(async () =>
        {
            try
            {
                await using IConnectionListener again = await BindAsync(host, listener.EndPoint);
                return true;
            }
            catch (AddressInUseException)
            {
                return false;
            }
        });
    }

    [Theory]
    [EpollTransports(WhyNotSockets, false), EpollTransports(WhyNotSockets, true)]
    public async Task ServiceManagersSocket_IsTakenByItsAddress_AndItsQueueIsLeft(TransportKind kind, bool unix)
    {
        using Socket manager = Listen(Net.NewEndPoint(unix));
        int passed = DuplicateOf(manager);
        using IHost host = HandoverServer.Build(kind, ListenerHandover.Create("1", passed, passed: null));
        uint? backlog = unix ? null : BacklogOf(manager);

        IConnectionListener listener = await BindAsync(host, manager.LocalEndPoint!);
        Assert.Equal(backlog, unix ? null : BacklogOf(manager));
        Task serving = HandoverServer.ServeAsync(listener);
        await host.StartAsync().OrTimeout();

        Assert.Equal(Environment.ProcessId, await HandoverServer.AskAsync(manager.LocalEndPoint!));
        Assert.True(Libc.IsCloseOnExec(passed));
        await listener.UnbindAsync().OrTimeout();
        await serving.OrTimeout();
        await listener.DisposeAsync().OrTimeout();
        Assert.False(manager.LingerState!.Enabled, "Whoever accepts next would reset its connections.");
        using Socket client = await Net.ConnectAsync(manager.LocalEndPoint!);
        using Socket next = await manager.AcceptAsync().OrTimeout();
        await client.SendAsync("x");
        Assert.Equal("x", await next.ReceiveTextAsync(1));
    }

    /// <remarks>As when the second of two endpoints can't be bound: the first one, whose socket the predecessor has too, is unbound.</remarks>
    [Theory]
    [EpollTransports(WhyNotSockets, false), EpollTransports(WhyNotSockets, true)]
    public async Task Successor_ThatUnbindsBeforeItServes_LeavesThePredecessorItsSocket(TransportKind kind, bool unix)
    {
        string path = Net.NewUnixPath();
        using Socket predecessor = Listen(unix ? new UnixDomainSocketEndPoint(path) : Net.AnyLoopbackPort);
        using var ready = new AnonymousPipeServerStream(PipeDirection.In, HandleInheritability.Inheritable);
        ListenerHandover handover = ListenerHandover.Create(kept: null, 0, $"ready={ready.GetClientHandleAsString()};listen={DuplicateOf(predecessor)}");
        using IHost host = HandoverServer.Build(kind, handover);
        Assert.True(handover.HasPredecessor);
        IConnectionListener listener = await BindAsync(host, predecessor.LocalEndPoint!);

        await listener.UnbindAsync().OrTimeout();
        await listener.DisposeAsync().OrTimeout();

        Assert.False(predecessor.LingerState!.Enabled, "Whoever accepts next would reset its connections.");
        using Socket client = await Net.ConnectAsync(predecessor.LocalEndPoint!);
        using Socket server = await predecessor.AcceptAsync().OrTimeout();
        await client.SendAsync("x");
        Assert.Equal("x", await server.ReceiveTextAsync(1));
        handover.NotifyServing();
        Assert.Equal(1, ready.ReadByte());
    }

    /// <remarks>Otherwise the next attempt would find the file, and fail because of it.</remarks>
    [Theory, EpollTransports(WhyNotSockets)]
    public async Task Successor_ThatUnbindsBeforeItServes_LeavesNoFileOfAnEndpointOfItsOwn(TransportKind kind)
    {
        string path = Net.NewUnixPath();
        using var ready = new AnonymousPipeServerStream(PipeDirection.In, HandleInheritability.Inheritable);
        ListenerHandover handover = ListenerHandover.Create(kept: null, 0, $"ready={ready.GetClientHandleAsString()}");
        using IHost host = HandoverServer.Build(kind, handover);
        IConnectionListener listener = await BindAsync(host, new UnixDomainSocketEndPoint(path));
        Assert.True(File.Exists(path));

        await listener.UnbindAsync().OrTimeout();

        Assert.False(File.Exists(path));
        handover.NotifyServing();
        Assert.Equal(1, ready.ReadByte());
    }

    [Theory, EpollTransports(WhyNotSockets)]
    public async Task InheritedSocket_OfNoEndpoint_IsClosedWhenTheHostHasStarted(TransportKind kind)
    {
        using Socket manager = Listen(Net.AnyLoopbackPort);
        int untaken = DuplicateOf(manager);
        using IHost host = HandoverServer.Build(kind, ListenerHandover.Create(kept: null, 0, $"listen={untaken}"));
        await using IConnectionListener other = await BindAsync(host, Net.AnyLoopbackPort);
        Assert.NotEqual(manager.LocalEndPoint, other.EndPoint);
        Assert.True(Libc.IsOpen(untaken));

        await host.StartAsync().OrTimeout();

        Assert.False(Libc.IsOpen(untaken) && IsSame(untaken, manager));
        Assert.False(manager.LingerState!.Enabled, "Whoever accepts next would reset its connections.");
    }

    [Theory]
    [InlineData("ready")]
    [InlineData("ready=x;listen=;=;;listen=-1;listen=999999;other=1")]
    [InlineData("listen=0;kept=1;listen=2")]
    public void Variable_ThatMakesNoSense_IsIgnored(string variable)
    {
        ListenerHandover handover = ListenerHandover.Create("100000000", firstKept: 1_000_000_000, variable);

        Assert.False(handover.HasPredecessor);
        Assert.Null(handover.Take(new IPEndPoint(IPAddress.Any, 0)));
        handover.NotifyServing();
        handover.NotifyServing();
        Assert.True(Libc.IsOpen(0) && Libc.IsOpen(1) && Libc.IsOpen(2));
    }

    private static bool IsSame(int descriptor, Socket socket) =>
        new FileInfo($"/proc/self/fd/{descriptor}").LinkTarget == new FileInfo($"/proc/self/fd/{socket.Handle}").LinkTarget;

    private static int CountSocketsAndPipes() =>
        Directory.GetFiles("/proc/self/fd").Count(static fd => new FileInfo(fd).LinkTarget?.Split(':')[0] is "socket" or "pipe");

    // Of a TCP socket that listens, tcp_get_info in net/ipv4/tcp.c has it in tcpi_sacked.
    private static uint BacklogOf(Socket listening)
    {
        const int IPPROTO_TCP = 6;
        const int TCP_INFO = 11;
        byte[] info = new byte[32];
        listening.GetRawSocketOption(IPPROTO_TCP, TCP_INFO, info);
        return BitConverter.ToUInt32(info, 28);
    }

    private static async Task<IConnectionListener> BindAsync(IHost host, EndPoint endPoint) =>
        await host.Services.GetRequiredService<IConnectionListenerFactory>().BindAsync(endPoint).OrTimeout();

    private static Socket Listen(EndPoint endPoint)
    {
        Socket socket = Net.CreateClient(endPoint);
        socket.Bind(endPoint);
        socket.Listen();
        return socket;
    }

    private static int DuplicateOf(Socket socket)
    {
        int duplicate = (int)Native.SystemCalls.Duplicate((int)socket.Handle).Value;
        Libc.ClearCloseOnExec(duplicate);
        return duplicate;
    }

    private static ProcessStartInfo StartInfo(TransportKind kind, string path) => new(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet")
    {
        ArgumentList = { typeof(ListenerHandoverTests).Assembly.Location, HandoverServer.Command, kind.ToString(), path },
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
    };

    private static Task<string?> ReadLineAsync(Process process) => process.StandardOutput.ReadLineAsync().OrTimeout();

    private static async Task EndAsync(Process process)
    {
        process.StandardInput.Close();
        try
        {
            await process.WaitForExitAsync().OrTimeout();
        }
        catch (TimeoutException)
        {
            process.Kill();
            throw;
        }
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        long began = Stopwatch.GetTimestamp();
        while (!await condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < Timeouts.Limit, "It did not happen in time.");
            await Task.Delay(10);
        }
    }
}
