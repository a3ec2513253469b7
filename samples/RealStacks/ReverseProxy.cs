using System.Net;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Forwarder;

namespace RealStacks;

/// <summary>YARP in front of one destination.</summary>
internal static class ReverseProxy
{
    /// <summary>
    /// Forwards everything by HTTP/2 without TLS, whatever version it comes by: gRPC needs that, and a WebSocket becomes a stream of the
    /// connection that all share.
    /// </summary>
    public static void AddServices(IServiceCollection services, Uri destination) => services.AddReverseProxy().LoadFromMemory(
        [new RouteConfig { RouteId = "everything", ClusterId = "application", Match = new RouteMatch { Path = "{**path}" } }],
        [
            new ClusterConfig
            {
                ClusterId = "application",
                Destinations = new Dictionary<string, DestinationConfig> { ["only"] = new() { Address = destination.ToString() } },
                HttpRequest = new ForwarderRequestConfig
                {
                    Version = HttpVersion.Version20,
                    VersionPolicy = HttpVersionPolicy.RequestVersionExact,
                },
            },
        ]);

    public static void Map(WebApplication app) => app.MapReverseProxy();
}
