using System.Diagnostics.CodeAnalysis;
using KestrelEpollTransport;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Switches Kestrel to the epoll transport.</summary>
public static class WebHostBuilderEpollTransportExtensions
{
    /// <summary>
    /// Has Kestrel listen and talk through the epoll transport: for TCP, unix domain and inherited endpoints. May be
    /// called before or after <c>UseKestrel</c>, and more than once.
    /// </summary>
    /// <remarks>
    /// <para>The stock Sockets transport is added first, for what this one does not bind. On a platform without a poller that
    /// is everything: Sockets serve, and one Information line says so.</para>
    /// <para>Sockets serve as well, and a line says so, where <c>UseSockets()</c> is called after this, and where
    /// <see cref="EpollTransportOptions.Enabled"/> is false, as by <c>EpollTransport__Enabled=false</c> in the environment. The options of
    /// Sockets are set by <c>services.Configure&lt;SocketTransportOptions&gt;(...)</c>, which changes nothing of that.</para>
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
            services.AddSingleton<IConfigureOptions<SocketTransportOptions>>(new LastCallWins.Mark(services));
            AddFirst<IPostConfigureOptions<EpollTransportOptions>, LastCallWins>(services);
            services.AddEpollTransport();
            AddFirst<IStartupFilter, TransportSchedulingStartupFilter>(services);
        });
    }

    /// <summary>As <see cref="UseEpollTransport(IWebHostBuilder)"/>, with options.</summary>
    /// <param name="hostBuilder">The web host.</param>
    /// <param name="configureOptions">Sets the options; called when the host starts, and maybe twice.</param>
    /// <returns><paramref name="hostBuilder"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    public static IWebHostBuilder UseEpollTransport(this IWebHostBuilder hostBuilder, Action<EpollTransportOptions> configureOptions)
    {
        ArgumentNullException.ThrowIfNull(configureOptions);
        return hostBuilder.UseEpollTransport().ConfigureServices(services => services.Configure(configureOptions));
    }

    /// <summary>
    /// As <see cref="UseEpollTransport(IWebHostBuilder)"/>, with options from a section of the configuration, such as
    /// <c>builder.Configuration.GetSection("EpollTransport")</c>. It has a key for each option that is not a function.
    /// </summary>
    /// <param name="hostBuilder">The web host.</param>
    /// <param name="configuration">The section; read once, when the host starts.</param>
    /// <returns><paramref name="hostBuilder"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    public static IWebHostBuilder UseEpollTransport(this IWebHostBuilder hostBuilder, IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        return hostBuilder.UseEpollTransport().ConfigureServices(services => services.AddEpollTransport(configuration));
    }

    // Of filters, the first one is outermost. Of what configures options behind others, the last one has the last word, which is the configuration's.
    private static void AddFirst<TService, [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TImplementation>(IServiceCollection services)
        where TService : class
        where TImplementation : class, TService
    {
        if (!services.Any(static service => !service.IsKeyedService && service.ImplementationType == typeof(TImplementation)))
        {
            services.Insert(0, ServiceDescriptor.Singleton<TService, TImplementation>());
        }
    }
}
