using KestrelEpollTransport;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds a server to a host without Kestrel.</summary>
public static class EpollServerServiceCollectionExtensions
{
    /// <summary>
    /// Adds an <see cref="EpollServer"/>, which the host starts and stops, and the transport (<c>AddEpollTransport()</c>). Calling it again
    /// adds endpoints to the same server. Transports that are added behind it are asked first, as Kestrel does.
    /// </summary>
    /// <param name="services">The container of a host.</param>
    /// <param name="configureOptions">Adds endpoints; called when the host starts.</param>
    /// <returns><paramref name="services"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    public static IServiceCollection AddEpollServer(this IServiceCollection services, Action<EpollServerOptions> configureOptions)
    {
        ArgumentNullException.ThrowIfNull(configureOptions);
        services.AddEpollTransport().Configure(configureOptions);
        services.TryAddSingleton(static provider => new EpollServer(provider.GetRequiredService<IOptions<EpollServerOptions>>().Value, provider));
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, EpollServer>(static provider => provider.GetRequiredService<EpollServer>()));
        return services;
    }
}
