using KestrelEpollTransport;
using Microsoft.Extensions.DependencyInjection;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Switches Kestrel to the epoll transport.</summary>
public static class WebHostBuilderEpollTransportExtensions
{
    /// <summary>
    /// Has Kestrel listen and talk through the epoll transport: for TCP, unix domain and inherited endpoints. May be
    /// called before or after <c>UseKestrel</c>, and more than once.
    /// </summary>
    /// <remarks>
    /// The stock Sockets transport is added first, for what this one does not bind. On a platform without a poller that
    /// is everything: Sockets serve, and one Information line says so.
    /// </remarks>
    /// <param name="hostBuilder">The web host.</param>
    /// <returns><paramref name="hostBuilder"/>.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="hostBuilder"/> is null.</exception>
    public static IWebHostBuilder UseEpollTransport(this IWebHostBuilder hostBuilder)
    {
        ArgumentNullException.ThrowIfNull(hostBuilder);

        // Before ours: Kestrel adds Sockets only where no transport is registered yet, and then there would be
        // nothing to fall back on.
        return hostBuilder.UseSockets().ConfigureServices(static services =>
        {
            services.AddEpollTransport();
            AddStartupFilter(services);
        });
    }

    /// <summary>As <see cref="UseEpollTransport(IWebHostBuilder)"/>, with options.</summary>
    /// <param name="hostBuilder">The web host.</param>
    /// <param name="configureOptions">Sets the options; called when the server starts.</param>
    /// <returns><paramref name="hostBuilder"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    public static IWebHostBuilder UseEpollTransport(this IWebHostBuilder hostBuilder, Action<EpollTransportOptions> configureOptions)
    {
        ArgumentNullException.ThrowIfNull(configureOptions);
        return hostBuilder.UseEpollTransport().ConfigureServices(services => services.Configure(configureOptions));
    }

    // Of filters, the first one is outermost.
    private static void AddStartupFilter(IServiceCollection services)
    {
        if (!services.Any(static service => service.ImplementationType == typeof(TransportSchedulingStartupFilter)))
        {
            services.Insert(0, ServiceDescriptor.Singleton<IStartupFilter, TransportSchedulingStartupFilter>());
        }
    }
}
