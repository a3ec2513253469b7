using KestrelEpollTransport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>stub</summary>
public static class EpollTransportServiceCollectionExtensions
{
    /// <summary>stub</summary>
    public static IServiceCollection AddEpollTransport(this IServiceCollection services) => services.AddSingleton<IConnectionListenerFactory, EpollTransportFactory>().AddSingleton<IConnectionFactory, EpollConnectionFactory>();
    /// <summary>stub</summary>
    public static IServiceCollection AddEpollTransport(this IServiceCollection services, Action<EpollTransportOptions> configure) => services.AddEpollTransport().Configure(configure);
}
