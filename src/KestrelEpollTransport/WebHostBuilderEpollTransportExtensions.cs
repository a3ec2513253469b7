using KestrelEpollTransport;
using Microsoft.Extensions.DependencyInjection;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Switches Kestrel to the transport of this package.</summary>
public static class WebHostBuilderEpollTransportExtensions
{
    /// <summary>stub</summary>
    public static IWebHostBuilder UseEpollTransport(this IWebHostBuilder hostBuilder)
    {
        hostBuilder.UseSockets();
        return hostBuilder.ConfigureServices(static services => services.AddEpollTransport());
    }

    /// <summary>stub</summary>
    public static IWebHostBuilder UseEpollTransport(this IWebHostBuilder hostBuilder, Action<EpollTransportOptions> configureOptions) =>
        hostBuilder.UseEpollTransport().ConfigureServices(services => services.Configure(configureOptions));
}
