using KestrelEpollTransport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Options;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Limits how many, how old and how idle the connections of an end point may be.</summary>
public static class ListenOptionsConnectionLimitsExtensions
{
    /// <summary>
    /// Limits the connections of an end point, each end point by itself, as <see cref="ConnectionLimitsOptions"/> say.
    /// </summary>
    /// <remarks>
    /// Where it stands matters. Behind <c>UseProxyProtocol()</c> the client's address counts and not the proxy's. In front of <c>UseHttps()</c> who is
    /// refused costs no handshake; ages and idle times are the same on either side of it. It may be called twice.
    /// <para>The clock is the container's <see cref="TimeProvider"/>, if it has one.</para>
    /// Works over any transport of connections that are streams. A connection that is refused is one Warning a minute at most (category
    /// <c>KestrelEpollTransport.ConnectionLimits</c>) and counted, in the meter <c>KestrelEpollTransport</c>.
    /// </remarks>
    /// <param name="listenOptions">The end point.</param>
    /// <param name="configure">Sets the options; called at once.</param>
    /// <returns><paramref name="listenOptions"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    /// <exception cref="OptionsValidationException">Options are outside their limits; it names each of them, and its value.</exception>
    public static ListenOptions UseConnectionLimits(this ListenOptions listenOptions, Action<ConnectionLimitsOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(listenOptions);
        IConnectionBuilder builder = listenOptions;
        builder.UseConnectionLimits(configure);
        return listenOptions;
    }
}
