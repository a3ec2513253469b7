using System.Buffers;
using System.Diagnostics.Metrics;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds the transport to a container.</summary>
public static class EpollTransportServiceCollectionExtensions
{
    /// <summary>
    /// Adds the transport, for a host without Kestrel or beside it: <see cref="IConnectionListenerFactory"/> to listen,
    /// <see cref="IConnectionFactory"/> to connect, and <see cref="EpollConnectionContextFactory"/> for sockets that exist
    /// already. All three share one set of event loops, which starts at first use and ends with the container.
    /// Calling it again adds nothing.
    /// </summary>
    /// <param name="services">The container.</param>
    /// <returns><paramref name="services"/>.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="services"/> is null.</exception>
    public static IServiceCollection AddEpollTransport(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.AddOptions();
        services.TryAddSingleton(static provider => new TransportEngine(
            provider.GetRequiredService<IOptions<EpollTransportOptions>>().Value,
            provider.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance,
            provider.GetService<IMemoryPoolFactory<byte>>(),
            provider.GetService<IMeterFactory>()));

        // Beside other transports, not instead of them: Kestrel asks the last one that was added first.
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IConnectionListenerFactory, EpollTransportFactory>(
            static provider => new EpollTransportFactory(provider.GetRequiredService<TransportEngine>())));
        services.TryAddSingleton<IConnectionFactory>(
            static provider => new EpollConnectionFactory(provider.GetRequiredService<TransportEngine>()));
        services.TryAddSingleton(
            static provider => new EpollConnectionContextFactory(provider.GetRequiredService<TransportEngine>()));
        return services;
    }

    /// <summary>As <see cref="AddEpollTransport(IServiceCollection)"/>, with options.</summary>
    /// <param name="services">The container.</param>
    /// <param name="configureOptions">Sets the options; called when the transport is first needed.</param>
    /// <returns><paramref name="services"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    public static IServiceCollection AddEpollTransport(this IServiceCollection services, Action<EpollTransportOptions> configureOptions)
    {
        ArgumentNullException.ThrowIfNull(configureOptions);
        return services.AddEpollTransport().Configure(configureOptions);
    }
}
