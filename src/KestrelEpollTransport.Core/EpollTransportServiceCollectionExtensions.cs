using System.Buffers;
using System.Diagnostics.Metrics;
using KestrelEpollTransport;
using KestrelEpollTransport.Listening;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
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
        services.AddOptionsCheck<EpollTransportOptions>(static options => options.FindErrors());
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IPostConfigureOptions<EpollTransportOptions>, ConfiguredSwitch>(
            static provider => new ConfiguredSwitch(provider.GetService<IConfiguration>())));
        services.TryAddSingleton<ServingNotice>();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, ServingNotice>(
            static provider => provider.GetRequiredService<ServingNotice>()));
        services.TryAddSingleton(static provider => new TransportEngine(
            provider.GetRequiredService<IOptions<EpollTransportOptions>>().Value,
            provider.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance,
            provider.GetService<IMemoryPoolFactory<byte>>(),
            provider.GetService<IMeterFactory>(),
            serving: provider.GetService<ServingNotice>()));

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
    /// <param name="configureOptions">Sets the options; called when the host starts, or the transport is first needed; may be called twice.</param>
    /// <returns><paramref name="services"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    public static IServiceCollection AddEpollTransport(this IServiceCollection services, Action<EpollTransportOptions> configureOptions)
    {
        ArgumentNullException.ThrowIfNull(configureOptions);
        return services.AddEpollTransport().Configure(configureOptions);
    }

    /// <summary>
    /// As <see cref="AddEpollTransport(IServiceCollection)"/>, with options from a section of the configuration, which has a key for each that
    /// is not a function, as in <c>{ "LoopCount": 2, "HandOffLimit": "00:00:00.005", "Sockets": { "KeepAlive": true } }</c>.
    /// </summary>
    /// <param name="services">The container.</param>
    /// <param name="configuration">The section; read once, when the host starts or the transport is first needed.</param>
    /// <returns><paramref name="services"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    public static IServiceCollection AddEpollTransport(this IServiceCollection services, IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        return services.AddEpollTransport().Configure<EpollTransportOptions>(options => configuration.Bind(options));
    }

    /// <summary>
    /// Has the transport take over the listening sockets that the process was started with, by a service manager (systemd's socket
    /// activation) or by a predecessor, wherever an endpoint of the same address is bound; and lets it start a successor with its
    /// own: <see cref="ListenerHandover"/> is a service of the container. Says that it serves when the host has started. One
    /// container of a process can have it. Calling it again adds nothing.
    /// </summary>
    /// <param name="services">The container. The transport itself is added by <c>AddEpollTransport()</c> or <c>UseEpollTransport()</c>.</param>
    /// <returns><paramref name="services"/>.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="services"/> is null.</exception>
    public static IServiceCollection AddListenerHandover(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.TryAddSingleton(static _ => ListenerHandover.FromEnvironment());
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IConfigureOptions<EpollTransportOptions>, HandoverSetup>());
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, HandoverNotice>());
        return services;
    }
}
