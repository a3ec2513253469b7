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

namespace TransportBench.Servers;

/// <summary>The application over one transport, with an endpoint of each kind.</summary>
internal sealed class KestrelServer : IBenchServer
{
    private readonly WebApplication _application;
    private readonly MetricsCollector? _metrics;

    private KestrelServer(WebApplication application, Endpoints endpoints, MetricsCollector? metrics)
    {
        _application = application;
        _metrics = metrics;
        Endpoints = endpoints;
    }

    public Endpoints Endpoints { get; }

    public static KestrelServer Start(Transport transport, string unixSocket)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();

        // Below Error, Kestrel tells that its clock stood still: it does whenever the server was stopped between turns.
        builder.Logging.SetMinimumLevel(LogLevel.Error);
        // And nothing from hosting, which otherwise makes an activity and a log scope for each request, whoever listens.
        builder.Logging.AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
        builder.Logging.AddConsole(static console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        UseTransport(builder.WebHost, transport);
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel => Listen(kestrel, transport, unixSocket));

        if (transport == Transport.SocketsLimited)
        {
            Overload.AddLimiter(builder.Services);
        }

        WebApplication application = builder.Build();
        if (transport == Transport.EpollShedding)
        {
            Overload.UseShedding(application);
        }
        else if (transport == Transport.SocketsLimited)
        {
            application.UseRateLimiter();
        }

        Handlers.Map(application);
        MetricsCollector? metrics = transport == Transport.EpollMetrics ? new MetricsCollector() : null;
        ((IHost)application).Start();
        return new KestrelServer(application, FindEndpoints(application, unixSocket), metrics);
    }

    public void Dispose()
    {
        ((IDisposable)_application).Dispose();
        _metrics?.Dispose();
    }

    private static void UseTransport(IWebHostBuilder host, Transport transport)
    {
        if (transport == Transport.Sockets || transport == Transport.Control || transport == Transport.SocketsLimited)
        {
            host.UseSockets();
        }
        else if (transport == Transport.SocketsInline)
        {
            host.UseSockets(static options => options.UnsafePreferInlineScheduling = true);
        }
        else if (transport == Transport.Epoll || transport == Transport.EpollMetrics || transport == Transport.EpollProxy)
        {
            host.UseEpollTransport();
        }
        else if (transport == Transport.EpollSpin)
        {
            host.UseEpollTransport(static options => options.SpinBeforeWait = TimeSpan.FromMicroseconds(50));
        }
        else if (transport == Transport.EpollShedding)
        {
            host.UseEpollTransport(static options => options.MaxWorkers = Overload.AtATime);
        }
        else if (transport == Transport.EpollContinuations)
        {
            host.UseEpollTransport(static options => options.ScheduleContinuations = true);
        }
        else
        {
            host.UseEpollTransport(options => options.Scheduling =
                transport == Transport.EpollInline ? ApplicationScheduling.UnsafeInline : ApplicationScheduling.ThreadPool);
        }
    }

    // The order is that of FindEndpoints.
    private static void Listen(KestrelServerOptions kestrel, Transport transport, string unixSocket)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxRequestBodySize = null;
        kestrel.Listen(IPAddress.Loopback, 0, listen =>
        {
            listen.Protocols = HttpProtocols.Http1;
            if (transport == Transport.EpollProxy)
            {
                listen.UseProxyProtocol(static options =>
                {
                    // Other scenarios send no header.
                    options.Mode = ProxyProtocolMode.Optional;
                    options.TrustedNetworks.Add(IPNetwork.Parse("127.0.0.0/8"));
                });
            }
        });
        kestrel.Listen(IPAddress.Loopback, 0, static listen => listen.Protocols = HttpProtocols.Http2);
        kestrel.Listen(IPAddress.Loopback, 0, static listen => listen.UseHttps(Certificate.Create()));
        kestrel.Listen(IPAddress.Loopback, 0, static listen => listen.UseConnectionHandler<EchoHandler>());
        kestrel.ListenUnixSocket(unixSocket);
    }

    private static Endpoints FindEndpoints(WebApplication application, string unixSocket)
    {
        var addresses = application.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>();
        int[] ports = [.. addresses.Addresses.Take(4).Select(static a => BindingAddress.Parse(a).Port)];
        return new Endpoints(ports[0], ports[1], ports[2], ports[3], unixSocket);
    }
}
