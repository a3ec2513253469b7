using System.Net;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace StressTool.ProxyProtocol;

/// <summary>Kestrel with an endpoint of each mode, which answers with the addresses of the connection.</summary>
internal sealed class ProxyServer : IAsyncDisposable
{
    /// <summary>As Linux routes all of 127.0.0.0/8 to itself, sources may be chosen.</summary>
    public static readonly IPNetwork Trusted = IPNetwork.Parse("127.1.0.0/16");

    private static readonly TimeSpan s_headerTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_requestTimeout = TimeSpan.FromSeconds(5);

    private readonly WebApplication _application;
    private int _open;

    private ProxyServer(WebApplicationBuilder builder)
    {
        builder.WebHost.ConfigureKestrel(Listen);
        _application = builder.Build();
        _application.Run(static async http =>
        {
            ConnectionInfo connection = http.Connection;
            string answer = Answer(
                new IPEndPoint(connection.RemoteIpAddress!, connection.RemotePort), new IPEndPoint(connection.LocalIpAddress!, connection.LocalPort));
            http.Response.ContentLength = answer.Length;
            await http.Response.WriteAsync(answer);
        });
    }

    /// <summary>Connections whose middleware has not returned yet.</summary>
    public int Open => Volatile.Read(ref _open);

    public static async Task<ProxyServer> StartAsync(StressOptions options, Random random, TrackingMemoryPoolFactory memory, Figures figures)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders().SetMinimumLevel(LogLevel.Debug).AddProvider(new LogWatch(figures));
        builder.Services.AddSingleton<IMemoryPoolFactory<byte>>(memory);
        if (options.UseSockets)
        {
            builder.WebHost.UseSockets();
        }
        else
        {
            builder.WebHost.UseEpollTransport(transport => Transport.Configure(transport, random, options.Scheduling));
        }

        var server = new ProxyServer(builder);
        await server._application.StartAsync();
        return server;
    }

    /// <summary>What is answered to each request.</summary>
    public static string Answer(EndPoint? from, EndPoint? to) => $"from {from} to {to};";

    public int PortOf(ProxyProtocolMode mode)
    {
        IServerAddressesFeature addresses = _application.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>();
        return BindingAddress.Parse(addresses.Addresses.ElementAt((int)mode)).Port;
    }

    public async ValueTask DisposeAsync()
    {
        await _application.StopAsync();
        await _application.DisposeAsync();
    }

    private void Listen(KestrelServerOptions kestrel)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.KeepAliveTimeout = s_requestTimeout;
        kestrel.Limits.RequestHeadersTimeout = s_requestTimeout;
        foreach (ProxyProtocolMode mode in Enum.GetValues<ProxyProtocolMode>())
        {
            kestrel.Listen(IPAddress.Loopback, 0, listen =>
            {
                listen.Protocols = HttpProtocols.Http1;
                listen.Use(next => connection => CountAsync(next, connection));
                listen.UseProxyProtocol(options =>
                {
                    options.Mode = mode;
                    options.TrustedNetworks.Add(Trusted);
                    options.HeaderTimeout = s_headerTimeout;
                });
            });
        }
    }

    private async Task CountAsync(ConnectionDelegate next, ConnectionContext connection)
    {
        Interlocked.Increment(ref _open);
        try
        {
            await next(connection);
        }
        finally
        {
            Interlocked.Decrement(ref _open);
        }
    }
}
