using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests.GenericHost;

/// <summary>How a server in a host without ASP.NET Core stops.</summary>
public class EpollServerStopTests
{
    [Theory, AllTransports]
    public async Task Stop_WithARequestInFlight_AnswersItAndEndsWhatIsIdle(TransportKind kind)
    {
        var isInFlight = NewSignal();
        var mayAnswer = NewSignal();
        await using ServerHost host = await ServerHost.StartAsync(kind, connections => connections.Run(async connection =>
        {
            if (await connection.Transport.Input.ReadTextAsync(1) == "?")
            {
                isInFlight.SetResult();
                await mayAnswer.Task;
                await connection.Transport.Output.WriteTextAsync("answer");
            }

            await ServerHost.EchoAsync(connection);
        }));
        using Socket idle = await host.ConnectAsync();
        await idle.SendAsync("x");
        await ServerHost.AssertEchoesAsync(idle, "idle");
        using Socket asking = await host.ConnectAsync();
        await asking.SendAsync("?");
        await isInFlight.Task.OrTimeout();

        Task stopped = host.StopAsync();

        Assert.Empty(await idle.ReceiveToEndAsync());
        await Assert.ThrowsAsync<SocketException>(host.ConnectAsync);
        Assert.False(stopped.IsCompleted);
        mayAnswer.SetResult();
        Assert.Equal("answer", await asking.ReceiveTextToEndAsync());
        await stopped.OrTimeout();
        host.AssertCalm();
    }

    [Fact]
    public async Task Stop_WithAListenerThatFails_EndsTheConnectionsAsAnyStop()
    {
        Task unbinding = Task.FromException(new IOException("Unbinding."));
        await using ServerHost host = await ServerHost.StartAsync(
            TransportKind.Sockets,
            static connections => connections.Run(ServerHost.EchoAsync),
            services => services.AddSingleton<IConnectionListenerFactory>(provider =>
                new UnbindingListenerFactory(provider, () => Interlocked.Exchange(ref unbinding, Task.CompletedTask))));
        using Socket client = await host.ConnectAsync();
        await ServerHost.AssertEchoesAsync(client, "x");

        await Assert.ThrowsAsync<IOException>(() => host.StopAsync().OrTimeout());

        // Not a reset.
        Assert.Empty(await client.ReceiveToEndAsync());
        Assert.Empty(host.Logged(ServerHost.Category, 66));
    }

    [Theory, AllTransports]
    public async Task Stop_WithAHandlerThatDoesNotListen_AbortsItsConnectionBehindTheTimeout(TransportKind kind)
    {
        var isAsked = NewSignal();
        var failure = new TaskCompletionSource<Exception>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ServerHost host = await ServerHost.StartAsync(kind, connections => connections.Run(async connection =>
        {
            ServerHost.Closing(connection).Register(isAsked.SetResult);
            try
            {
                await connection.Transport.Output.WriteTextAsync("x");
                await connection.Transport.Input.ReadAsync();
            }
            catch (Exception exception)
            {
                failure.SetResult(exception);
                throw;
            }
        }));
        using Socket client = await host.ConnectAsync();
        Assert.Equal("x", await client.ReceiveTextAsync(1));
        using var patience = new CancellationTokenSource();
        Task stopped = host.StopAsync(patience.Token);
        await isAsked.Task.OrTimeout();
        Assert.False(failure.Task.IsCompleted);
        Assert.False(stopped.IsCompleted);

        await patience.CancelAsync();

        await client.AssertResetAsync();
        Assert.IsType<ConnectionAbortedException>(await failure.Task.OrTimeout());
        await stopped.OrTimeout();
        LogEntry line = Assert.Single(host.Logged(ServerHost.Category, 66));
        Assert.Equal(LogLevel.Warning, line.Level);
        Assert.EndsWith("aborted: 1.", line.Message, StringComparison.Ordinal);
        Assert.Empty(host.Logged(ServerHost.Category, 63));
        Assert.Empty(host.Logged(ServerHost.Category, 67));
    }

    [Theory, AllTransports]
    public async Task Stop_WithAHandlerThatIsStuck_EndsAllTheSame(TransportKind kind)
    {
        var isStuck = NewSignal();
        var isFree = NewSignal();
        await using ServerHost host = await ServerHost.StartAsync(kind, connections => connections.Run(_ =>
        {
            isStuck.SetResult();
            return isFree.Task;
        }));
        using Socket client = await host.ConnectAsync();
        await isStuck.Task.OrTimeout();

        await host.StopAsync(new CancellationToken(canceled: true)).OrTimeout();

        Assert.EndsWith(": 1. The host stops without them.", Assert.Single(host.Logged(ServerHost.Category, 67)).Message, StringComparison.Ordinal);
        await client.AssertResetAsync();
        isFree.SetResult();
        await host.UntilAllAreDisposedAsync();
    }

    [Theory, AllTransports]
    public async Task Stop_WithACallbackThatThrows_AsksTheOthersAllTheSame(TransportKind kind)
    {
        await using ServerHost host = await ServerHost.StartAsync(kind, connections => connections.Run(async connection =>
        {
            ServerHost.Closing(connection).Register(static () => throw new FormatException("A callback."));
            await ServerHost.EchoAsync(connection);
        }));
        Socket[] clients = [await host.ConnectAsync(), await host.ConnectAsync()];
        foreach (Socket client in clients)
        {
            await ServerHost.AssertEchoesAsync(client, "x");
        }

        await host.StopAsync().OrTimeout();

        foreach (Socket client in clients)
        {
            Assert.Empty(await client.ReceiveToEndAsync());
            client.Dispose();
        }

        await Net.UntilAsync(() => host.Logged(ServerHost.Category, 65).Length == clients.Length);
    }

    /// <remarks>What the kernel has completed belongs to who was connected: it is served, if the transport accepts it before it unbinds.</remarks>
    [Theory, EpollTransports("Sockets resets what nobody has accepted.")]
    public async Task Stop_WithConnectionsInTheQueue_ServesThem(TransportKind kind)
    {
        const int Clients = 50;
        await using ServerHost host = await ServerHost.StartAsync(kind, static connections => connections.Run(static async connection =>
        {
            string text = await connection.Transport.Input.ReadTextAsync(1);
            await connection.Transport.Output.WriteTextAsync(text);
        }));
        Socket[] clients = new Socket[Clients];
        for (int i = 0; i < Clients; i++)
        {
            clients[i] = await host.ConnectAsync();
        }

        Task stopped = host.StopAsync();

        foreach (Socket client in clients)
        {
            await client.SendAsync("q");
            Assert.Equal("q", await client.ReceiveTextToEndAsync());
            client.Dispose();
        }

        await stopped.OrTimeout();
    }

    /// <remarks>The first request of each is in the kernel when the stop begins, and the handler passes the token to its read, as it should.</remarks>
    [Theory, EpollTransports("Sockets resets what nobody has accepted.")]
    public async Task Stop_WithRequestsInTheQueue_AnswersThem(TransportKind kind)
    {
        const int Clients = 20;
        await using ServerHost host = await ServerHost.StartAsync(kind, static connections => connections.Run(ServerHost.EchoAsync));
        Socket[] clients = new Socket[Clients];
        for (int i = 0; i < Clients; i++)
        {
            clients[i] = await host.ConnectAsync();
            await clients[i].SendAsync("q");
        }

        Task stopped = host.StopAsync();

        foreach (Socket client in clients)
        {
            Assert.Equal("q", await client.ReceiveTextToEndAsync());
            client.Dispose();
        }

        await stopped.OrTimeout();
    }

    [Theory, AllTransports]
    public async Task Stop_WithoutTime_AsksHandlersAllTheSame(TransportKind kind)
    {
        var waits = NewSignal();
        await using ServerHost host = await ServerHost.StartAsync(kind, connections => connections.Run(async connection =>
        {
            waits.SetResult();
            await Task.Delay(Timeout.Infinite, ServerHost.Closing(connection));
        }));
        using Socket client = await host.ConnectAsync();
        await waits.Task.OrTimeout();

        await host.StopAsync(new CancellationToken(canceled: true)).OrTimeout();

        await host.UntilAllAreDisposedAsync();
        Assert.Empty(host.Logged(ServerHost.Category, 67));
    }

    [Theory, AllTransports]
    public async Task Dispose_OfAHostThatNobodyStopped_EndsConnections(TransportKind kind)
    {
        var waits = NewSignal();
        var ended = NewSignal();
        ServerHost host = await ServerHost.StartAsync(kind, connections => connections.Run(async connection =>
        {
            waits.SetResult();
            try
            {
                await ServerHost.EchoAsync(connection);
            }
            finally
            {
                ended.SetResult();
            }
        }));
        using Socket client = await host.ConnectAsync();
        await waits.Task.OrTimeout();

        host.DisposeWithoutStop();

        await ended.Task.OrTimeout();
        await client.AssertResetAsync();
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
