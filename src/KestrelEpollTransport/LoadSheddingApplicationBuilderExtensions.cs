using System.Diagnostics.Metrics;
using KestrelEpollTransport;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.LoadShedding;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Refuses requests that cannot be served in time, so that those which can be are.</summary>
public static class LoadSheddingApplicationBuilderExtensions
{
    /// <summary>As <see cref="UseLoadShedding(IApplicationBuilder, Action{LoadSheddingOptions})"/>, with every default.</summary>
    /// <param name="application">The pipeline.</param>
    /// <returns><paramref name="application"/>.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="application"/> is null.</exception>
    public static IApplicationBuilder UseLoadShedding(this IApplicationBuilder application) => application.UseLoadShedding(static _ => { });

    /// <summary>
    /// While more comes than the server can do, answers 503 with Retry-After to the requests that have waited longest, and has the others served
    /// at once. It costs a request that is served a look at its connection, and nothing is set by how many may run.
    /// </summary>
    /// <remarks>
    /// Put it first, as a refused request costs what comes before. Requests without an <see cref="IQueueingDelayFeature"/> (HTTP/3, another
    /// transport) pass. Each overload is told by one Warning, once a minute at most (category <c>KestrelEpollTransport.LoadShedding</c>), and
    /// the counter <c>epoll_transport.requests.shed</c> has every refusal.
    /// </remarks>
    /// <param name="application">The pipeline.</param>
    /// <param name="configure">Sets the options; called at once.</param>
    /// <returns><paramref name="application"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    /// <exception cref="OptionsValidationException">Options are outside their limits; it names each of them, and its value.</exception>
    public static IApplicationBuilder UseLoadShedding(this IApplicationBuilder application, Action<LoadSheddingOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(application);
        ArgumentNullException.ThrowIfNull(configure);

        var options = new LoadSheddingOptions();
        configure(options);
        options.Validate();

        IServiceProvider services = application.ApplicationServices;
        ILogger logger = new GuardedLogger(services.GetRequiredService<ILoggerFactory>().CreateLogger(LoadSheddingLog.Category));
        var metrics = new LoadSheddingMetrics(services.GetService<IMeterFactory>());
        return application.Use(next => new LoadSheddingMiddleware(next, options, logger, metrics, TimeProvider.System).InvokeAsync);
    }
}
