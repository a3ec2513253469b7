using KestrelEpollTransport;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Exempts endpoints from load shedding.</summary>
public static class LoadSheddingEndpointConventionBuilderExtensions
{
    /// <summary>As <see cref="ExemptFromLoadSheddingAttribute"/>: <c>app.MapHealthChecks("/health").ExemptFromLoadShedding()</c>.</summary>
    /// <typeparam name="TBuilder">The kind of endpoints.</typeparam>
    /// <param name="endpoints">One endpoint, or a group.</param>
    /// <returns><paramref name="endpoints"/>.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="endpoints"/> is null.</exception>
    public static TBuilder ExemptFromLoadShedding<TBuilder>(this TBuilder endpoints)
        where TBuilder : IEndpointConventionBuilder
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        endpoints.Add(static endpoint => endpoint.Metadata.Add(new ExemptFromLoadSheddingAttribute()));
        return endpoints;
    }
}
