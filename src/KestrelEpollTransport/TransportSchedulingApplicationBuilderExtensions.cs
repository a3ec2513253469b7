using KestrelEpollTransport;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Has the epoll transport schedule the application's code after its awaits too.</summary>
public static class TransportSchedulingApplicationBuilderExtensions
{
    /// <summary>
    /// Runs what follows in the pipeline on the transport's threads, also after each <c>await</c>: code that blocks there gets a thread of its
    /// own, and keeps neither the thread pool nor other requests waiting. For a part of an application; for all of it there is
    /// <see cref="EpollTransportOptions.ScheduleContinuations"/>.
    /// </summary>
    /// <remarks>
    /// Without effect where the transport does not serve (HTTP/3, another transport), where its scheduling is not
    /// <see cref="ApplicationScheduling.Adaptive"/>, and inside of itself.
    /// </remarks>
    /// <param name="application">The pipeline.</param>
    /// <returns><paramref name="application"/>.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="application"/> is null.</exception>
    public static IApplicationBuilder UseTransportScheduling(this IApplicationBuilder application)
    {
        ArgumentNullException.ThrowIfNull(application);
        return application.Use(static next => new TransportSchedulingMiddleware(next).InvokeAsync);
    }
}
