using KestrelEpollTransport;
using KestrelEpollTransport.Draining;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds draining to a web application.</summary>
public static class ConnectionDrainingServiceCollectionExtensions
{
    /// <summary>
    /// Has the end of the host begin with draining its connections (<see cref="ConnectionDraining"/>, which is a service of the
    /// container), and puts a middleware in front of all others that closes each connection behind its answer meanwhile. Before that a request
    /// costs the look at a flag. Calling it again adds nothing.
    /// </summary>
    /// <param name="services">The container.</param>
    /// <returns><paramref name="services"/>.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="services"/> is null.</exception>
    public static IServiceCollection AddConnectionDraining(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.AddOptionsCheck<ConnectionDrainingOptions>(static options => options.FindErrors());
        services.TryAddSingleton(static provider => new ConnectionDraining(
            provider.GetService<TransportEngine>(), provider.GetService<EpollServer>(), provider.GetRequiredService<IOptions<ConnectionDrainingOptions>>()));
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IStartupFilter, DrainingStartupFilter>());
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, DrainingAtStop>());
        return services;
    }

    /// <summary>As <see cref="AddConnectionDraining(IServiceCollection)"/>, with options.</summary>
    /// <param name="services">The container.</param>
    /// <param name="configureOptions">Sets the options; called when the host starts.</param>
    /// <returns><paramref name="services"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    public static IServiceCollection AddConnectionDraining(this IServiceCollection services, Action<ConnectionDrainingOptions> configureOptions)
    {
        ArgumentNullException.ThrowIfNull(configureOptions);
        return services.AddConnectionDraining().Configure(configureOptions);
    }
}
