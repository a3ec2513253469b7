using System.Diagnostics.Metrics;
using KestrelEpollTransport;
using KestrelEpollTransport.ConnectionLimits;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Microsoft.AspNetCore.Connections;

/// <summary>Limits how many, how old and how idle the connections of an end point may be.</summary>
public static class ConnectionBuilderLimitsExtensions
{
    /// <summary>
    /// Limits the connections of an end point, each end point by itself, as <see cref="ConnectionLimitsOptions"/> say.
    /// </summary>
    /// <remarks>
    /// Where it stands matters: in front of <c>UseTls()</c> who is refused costs no handshake; ages and idle times are the same on either side of
    /// it. It may be called twice.
    /// <para>The clock is the container's <see cref="TimeProvider"/>, if it has one.</para>
    /// Works over any transport of connections that are streams. A connection that is refused is one Warning a minute at most (category
    /// <c>KestrelEpollTransport.ConnectionLimits</c>) and counted, in the meter <c>KestrelEpollTransport</c>.
    /// </remarks>
    /// <param name="builder">The end point.</param>
    /// <param name="configure">Sets the options; called at once.</param>
    /// <returns><paramref name="builder"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    /// <exception cref="OptionsValidationException">Options are outside their limits; it names each of them, and its value.</exception>
    public static IConnectionBuilder UseConnectionLimits(this IConnectionBuilder builder, Action<ConnectionLimitsOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(configure);

        var options = new ConnectionLimitsOptions();
        configure(options);
        options.Validate();

        IServiceProvider services = builder.ApplicationServices;
        var reports = new LimitReports(
            services.GetRequiredService<ILoggerFactory>().CreateLogger(LimitReports.Category), services.GetRequiredService<IMeterFactory>());
        if (options.MaxConnections is { } mostOfAll)
        {
            builder.Use(next => new CountLimitMiddleware(next, mostOfAll, reports).OnConnectionAsync);
        }

        if (options.MaxConnectionsPerAddress is { } most)
        {
            var addresses = new AddressCounts(most, options.IPv4PrefixLength, options.IPv6PrefixLength);
            builder.Use(next => new AddressLimitMiddleware(next, addresses, reports).OnConnectionAsync);
        }

        if (options.MaxConnectionAge is not null || options.IdleTimeout is not null)
        {
            var times = new TimeLimits(options, services.GetService<TimeProvider>() ?? TimeProvider.System, reports);
            builder.Use(next => new TimeLimitMiddleware(next, times).OnConnectionAsync);
        }

        return builder;
    }
}
