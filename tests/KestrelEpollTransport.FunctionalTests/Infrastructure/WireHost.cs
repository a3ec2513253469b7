using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>A web application that raw clients reach over TCP and over a unix socket, and that tells when connections have ended.</summary>
internal sealed class WireHost : IAsyncDisposable
{
    private readonly UnixDomainSocketEndPoint _unix = new(Net.NewUnixPath());
    private readonly SemaphoreSlim _ended = new(0);
    private KestrelHost? _host;

    private WireHost()
    {
    }

    public KestrelHost Host => _host!;

    public static async Task<WireHost> StartAsync(
        TransportKind kind,
        Action<WebApplication> pipeline,
        Action<ListenOptions>? listen = null,
        Action<WebApplicationBuilder>? configure = null)
    {
        var host = new WireHost();
        host._host = await KestrelHost.StartAsync(kind, pipeline, Listen, builder =>
        {
            builder.WebHost.ConfigureKestrel(o => o.Listen(host._unix, Listen));
            configure?.Invoke(builder);
        });
        return host;

        void Listen(ListenOptions options)
        {
            options.Use(host.TellEnd);
            listen?.Invoke(options);
        }
    }

    public static Task<WireHost> StartAsync(
        TransportKind kind,
        RequestDelegate handler,
        Action<ListenOptions>? listen = null,
        Action<WebApplicationBuilder>? configure = null) =>
        StartAsync(kind, app => app.Run(handler), listen, configure);

    public static void SetMaxReadBufferSize(WebApplicationBuilder builder, long? bytes)
    {
        builder.Services.Configure<SocketTransportOptions>(o => o.MaxReadBufferSize = bytes);
        builder.Services.Configure<EpollTransportOptions>(o => o.MaxReadBufferSize = bytes);
    }

    public Task<Socket> ConnectAsync(Wire wire) => Net.ConnectAsync(EndPointOf(wire));

    /// <summary>A client whose sends block in the kernel, which they do until its first asynchronous operation.</summary>
    public Socket Connect(Wire wire)
    {
        Socket client = Net.CreateClient(EndPointOf(wire));
        client.Connect(EndPointOf(wire));
        return client;
    }

    /// <summary>Completes when Kestrel is done with this many connections more: what a handler has not seen by then, it never sees.</summary>
    public async Task WaitForEndsAsync(int connections)
    {
        for (int i = 0; i < connections; i++)
        {
            await _ended.WaitAsync().OrTimeout($"the end of connection {i + 1} of {connections}");
        }
    }

    public ValueTask DisposeAsync() => Host.DisposeAsync();

    private EndPoint EndPointOf(Wire wire) => wire == Wire.Tcp ? Host.EndPoint : _unix;

    private ConnectionDelegate TellEnd(ConnectionDelegate next) => async connection =>
    {
        try
        {
            await next(connection);
        }
        finally
        {
            _ended.Release();
        }
    };
}
