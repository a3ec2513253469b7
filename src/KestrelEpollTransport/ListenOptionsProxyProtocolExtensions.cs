using KestrelEpollTransport;
using KestrelEpollTransport.ProxyProtocol;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Has an end point take the client's addresses from the PROXY protocol header that a proxy in front of it sends.</summary>
public static class ListenOptionsProxyProtocolExtensions
{
    /// <summary>
    /// With every default: nobody is trusted, so every connection is a plain client and keeps its own addresses, and a header is garbage to
    /// TLS and HTTP. It is safe, and takes no header until <see cref="ProxyProtocolOptions"/> name who may send one.
    /// </summary>
    /// <param name="listenOptions">The end point.</param>
    /// <returns><paramref name="listenOptions"/>.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="listenOptions"/> is null.</exception>
    public static ListenOptions UseProxyProtocol(this ListenOptions listenOptions) => listenOptions.UseProxyProtocol(static _ => { });

    /// <summary>
    /// Takes the PROXY protocol header, version 1 or 2, off the connections of trusted sources. The addresses in it become the connection's
    /// <c>RemoteEndPoint</c> and <c>LocalEndPoint</c>, and so those of its requests; the rest is <see cref="IProxyProtocolFeature"/>. Where
    /// no header is taken the connection stays as it is. A connection whose header is malformed, late or missing is reset, and
    /// one Debug line tells why (category <c>KestrelEpollTransport.ProxyProtocol</c>).
    /// </summary>
    /// <remarks>
    /// Call it once, and before <c>UseHttps()</c>: the header is in front of TLS. Not a byte behind the header is taken. Works over any
    /// transport of connections that are streams; HTTP/3 is not concerned. The format is HAProxy's <c>doc/proxy-protocol.txt</c>.
    /// </remarks>
    /// <param name="listenOptions">The end point.</param>
    /// <param name="configure">Sets the options; called at once.</param>
    /// <returns><paramref name="listenOptions"/>.</returns>
    /// <exception cref="ArgumentNullException">A parameter is null.</exception>
    /// <exception cref="OptionsValidationException">Options are outside their limits; it names each of them, and its value.</exception>
    public static ListenOptions UseProxyProtocol(this ListenOptions listenOptions, Action<ProxyProtocolOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(listenOptions);
        ArgumentNullException.ThrowIfNull(configure);

        var options = new ProxyProtocolOptions();
        configure(options);
        options.Validate();

        ILogger logger = listenOptions.ApplicationServices.GetRequiredService<ILoggerFactory>().CreateLogger(ProxyProtocolLog.Category);
        listenOptions.Use(next => new ProxyProtocolMiddleware(next, options, logger).OnConnectionAsync);
        return listenOptions;
    }
}
