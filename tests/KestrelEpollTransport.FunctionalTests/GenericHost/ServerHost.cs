using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.FunctionalTests.GenericHost;

/// <summary>An <see cref="EpollServer"/> in a host without ASP.NET Core, over one kind of transport.</summary>
internal sealed class ServerHost : IAsyncDisposable
{
    public const string Category = "KestrelEpollTransport.Server";
    public const string TlsCategory = "KestrelEpollTransport.Tls";

    private readonly IHost _host;
    private readonly TransportKind _kind;

    private ServerHost(IHost host, TransportKind kind, LogRecorder logs)
    {
        _host = host;
        _kind = kind;
        Logs = logs;
    }

    public LogRecorder Logs { get; }

    public IServiceProvider Services => _host.Services;

    public EndPoint EndPoint => _host.Services.GetRequiredService<EpollServer>().EndPoints[0];

    /// <summary>One endpoint on a free port.</summary>
    public static Task<ServerHost> StartAsync(TransportKind kind, Action<IConnectionBuilder> connections, Action<IServiceCollection>? configure = null) =>
        StartAsync(kind, server => server.Listen(Net.AnyLoopbackPort, connections), configure);

    public static async Task<ServerHost> StartAsync(TransportKind kind, Action<EpollServerOptions> server, Action<IServiceCollection>? configure = null)
    {
        ServerHost host = Build(kind, server, configure);
        await host._host.StartAsync().OrTimeout();
        return host;
    }

    public static ServerHost Build(TransportKind kind, Action<EpollServerOptions> server, Action<IServiceCollection>? configure = null)
    {
        var logs = new LogRecorder();
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        KestrelHost.Record(builder.Logging, logs);
        builder.Services.AddEpollServer(server);
        if (kind.IsOurs())
        {
            builder.Services.Configure<EpollTransportOptions>(options => new TransportSettings().ApplyTo(options, kind)).UsePollerOf(kind);
        }
        else
        {
            // Behind ours, and so the first that is asked.
            builder.Services.AddSingleton<IConnectionListenerFactory, SocketTransportFactory>();
        }

        configure?.Invoke(builder.Services);
        return new ServerHost(builder.Build(), kind, logs);
    }

    /// <summary>Sends back what comes. Ends when it is asked to, in front of the next bytes.</summary>
    public static async Task EchoAsync(ConnectionContext connection)
    {
        CancellationToken closing = Closing(connection);
        while (true)
        {
            ReadResult read = await connection.Transport.Input.ReadAsync(closing);
            foreach (ReadOnlyMemory<byte> part in read.Buffer)
            {
                connection.Transport.Output.Write(part.Span);
            }

            connection.Transport.Input.AdvanceTo(read.Buffer.End);
            FlushResult sent = await connection.Transport.Output.FlushAsync();
            if (read.IsCompleted || sent.IsCompleted)
            {
                return;
            }
        }
    }

    public static CancellationToken Closing(ConnectionContext connection) =>
        connection.Features.GetRequiredFeature<IConnectionLifetimeNotificationFeature>().ConnectionClosedRequested;

    public Task StartAsync() => _host.StartAsync().OrTimeout();

    public Task<Socket> ConnectAsync() => Net.ConnectAsync(EndPoint);

    /// <summary>A client for which the kernel takes less than <see cref="Net.MoreThanTheKernelHolds"/>.</summary>
    public async Task<Socket> ConnectSlowAsync()
    {
        Socket client = Net.CreateClient(EndPoint);
        client.ReceiveBufferSize = 64 * 1024;
        await client.ConnectAsync(EndPoint).OrTimeout();
        return client;
    }

    public static async Task AssertEchoesAsync(Socket client, string text)
    {
        await client.SendAsync(text);
        Assert.Equal(text, await client.ReceiveTextAsync(text.Length));
    }

    /// <summary>As the host does; <paramref name="patience"/> is its shutdown time-out.</summary>
    public Task StopAsync(CancellationToken patience = default) => _host.StopAsync(patience);

    /// <summary>All of one category and id.</summary>
    public LogEntry[] Logged(string category, int id) => [.. Logs.All().Where(e => e.Category == category && e.Id == id)];

    /// <summary>Whatever clients do is no reason for a Warning.</summary>
    public void AssertCalm() => Assert.DoesNotContain(Logs.All(), static e => e.Level > LogLevel.Information);

    /// <summary>Every connection of the transport has been disposed of. Of Sockets' nothing is known.</summary>
    public Task UntilAllAreDisposedAsync() =>
        _kind.IsOurs() ? Net.UntilAsync(() => _host.Services.GetRequiredService<TransportEngine>().CountInUse() == 0) : Task.CompletedTask;

    /// <summary>As where another service failed to start.</summary>
    public void DisposeWithoutStop() => _host.Dispose();

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        await _host.StopAsync(now.Token).OrTimeout();
        _host.Dispose();
    }
}
