using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests.KernelOptions;

/// <summary>The application's function that sees each accepted socket before it is a connection.</summary>
public class AcceptedSocketTests
{
    private const int ConfigureFailed = 25;
    private const string WhyNotSockets = "Sockets has no such function";

    [Theory]
    [EpollTransports(WhyNotSockets, false), EpollTransports(WhyNotSockets, true)]
    public async Task Function_SetsOptionsAndOwnsNothing(TransportKind kind, bool unix)
    {
        List<Socket> seen = [];
        EndPoint? remote = null;
        await using ConnectionPair pair = await ConnectionPair.CreateAsync(
            kind,
            s => s.ConfigureOurs = options => options.Sockets.ConfigureAcceptedSocket = socket =>
            {
                socket.SendBufferSize = 33_000;

                // It says what this object's calls do: the descriptor must stay non-blocking.
                socket.Blocking = true;
                remote = socket.RemoteEndPoint;
                lock (seen)
                {
                    seen.Add(socket);
                }
            },
            Net.NewEndPoint(unix));
        await using ConnectionPair second = await pair.CreateAnotherAsync();

        Assert.Equal(2, seen.Count);
        Assert.Equal(second.Server.RemoteEndPoint, remote);
        foreach (ConnectionPair one in new[] { pair, second })
        {
            Assert.Equal(66_000, RawOption.Get(one.Server.Features.Get<IConnectionSocketFeature>()!.Socket, RawOption.Socket, 7));
            await one.Client.SendAsync("ping");
            Assert.Equal("ping", await one.Input.ReadTextAsync(4));
            await one.Output.WriteTextAsync("pong");
            Assert.Equal("pong", await one.Client.ReceiveTextAsync(4));
        }

        // What the application has kept reaches nobody: not this connection, and not whoever gets its number next.
        Assert.All(seen, socket => Assert.Throws<ObjectDisposedException>(() => socket.Send("astray"u8)));
        seen.ForEach(static socket => socket.Dispose());
        await pair.Output.WriteTextAsync("on");
        Assert.Equal("on", await pair.Client.ReceiveTextAsync(2));
    }

    [Theory]
    [EpollTransports(WhyNotSockets, false), EpollTransports(WhyNotSockets, true)]
    public async Task Socket_DisposedInTheFunction_IsRefusedAndTheNextIsNot(TransportKind kind, bool unix)
    {
        int calls = 0;
        await using var transport = new Transport(kind, s => s.ConfigureOurs = options => options.Sockets.ConfigureAcceptedSocket = socket =>
        {
            if (Interlocked.Increment(ref calls) == 1)
            {
                socket.Dispose();
            }
        });
        IConnectionListener listener = await transport.BindAsync(Net.NewEndPoint(unix));

        await AssertRefusedAsync(listener.EndPoint, unix);

        await BindTests.AssertEchoAsync(listener, listener.EndPoint);
        Assert.Equal(2, calls);
        Assert.DoesNotContain(transport.Logs.Of(kind), entry => entry.Level > LogLevel.Debug);
    }

    [Theory]
    [EpollTransports(WhyNotSockets, false), EpollTransports(WhyNotSockets, true)]
    public async Task Function_ThatThrows_CostsThatConnectionAndAWarning(TransportKind kind, bool unix)
    {
        int calls = 0;
        await using var transport = new Transport(kind, s => s.ConfigureOurs = options => options.Sockets.ConfigureAcceptedSocket = _ =>
        {
            if (Interlocked.Increment(ref calls) == 1)
            {
                throw new InvalidOperationException("I don't want it.");
            }
        });
        IConnectionListener listener = await transport.BindAsync(Net.NewEndPoint(unix));

        await AssertRefusedAsync(listener.EndPoint, unix);

        LogEntry warning = await transport.Logs.WaitForAsync(kind, ConfigureFailed);
        Assert.Equal(LogLevel.Warning, warning.Level);
        Assert.Contains("ConfigureAcceptedSocket", warning.Message, StringComparison.Ordinal);
        await BindTests.AssertEchoAsync(listener, listener.EndPoint);
    }

    // The reset may come while the client still finds out that it is connected.
    private static async Task AssertRefusedAsync(EndPoint endPoint, bool unix)
    {
        if (unix)
        {
            // Nothing was unread: a unix socket's end then is a plain one.
            Assert.Empty(await ConnectAndReceiveAsync());
        }
        else
        {
            SocketException error = await Assert.ThrowsAsync<SocketException>(ConnectAndReceiveAsync);
            Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
        }

        async Task<byte[]> ConnectAndReceiveAsync()
        {
            using Socket client = await Net.ConnectAsync(endPoint);
            return await client.ReceiveToEndAsync();
        }
    }
}
