using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Microsoft.AspNetCore.Connections;

/// <summary>Puts TLS in front of a connection handler.</summary>
public static class ConnectionBuilderTlsExtensions
{
    private const string LogCategory = "KestrelEpollTransport.Tls";

    private static readonly TimeSpan s_defaultTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_maxTimeout = TimeSpan.FromHours(1);

    /// <summary>
    /// Authenticates the server, and the client if <paramref name="options"/> ask for that, and gives the plain bytes to those behind. They find
    /// the <see cref="SslStream"/> among the connection's features, for the protocol that was agreed on (ALPN), the client's certificate or the
    /// cipher; it is for asking only.
    /// </summary>
    /// <remarks>
    /// A handshake that fails, or takes too long, ends its connection and is one line at Debug (category <c>KestrelEpollTransport.Tls</c>).
    /// Behind it, reads and writes throw <see cref="ConnectionResetException"/> when the client breaks TLS: a record that is cut short, or wrong.
    /// When a handler returns, or its wait was cancelled because the connection was asked to end, the client is told that nothing more comes
    /// (close_notify); when it throws, or completes its output with an exception, it is not. The clock is the container's
    /// <see cref="TimeProvider"/>, if it has one. Works over any transport of connections that are streams.
    /// </remarks>
    /// <param name="builder">The end point.</param>
    /// <param name="options">
    /// The certificate, protocols and all else; used for all connections from now on. <see cref="SslServerAuthenticationOptions.ServerCertificateContext"/>
    /// is made of <see cref="SslServerAuthenticationOptions.ServerCertificate"/>, if there is none: once, and not for each connection.
    /// </param>
    /// <param name="handshakeTimeout">How long a handshake may take. Default: 10 seconds. Limits: more than 0, to 1 hour.</param>
    /// <returns><paramref name="builder"/>.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="builder"/> or <paramref name="options"/> is null.</exception>
    /// <exception cref="ArgumentException">There is neither a certificate nor something that selects one.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="handshakeTimeout"/> is outside its limits.</exception>
    public static IConnectionBuilder UseTls(
        this IConnectionBuilder builder, SslServerAuthenticationOptions options, TimeSpan? handshakeTimeout = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(options);
        TimeSpan timeout = handshakeTimeout ?? s_defaultTimeout;
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(timeout, TimeSpan.Zero, nameof(handshakeTimeout));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(timeout, s_maxTimeout, nameof(handshakeTimeout));
        if (options is { ServerCertificateContext: null, ServerCertificate: X509Certificate2 certificate })
        {
            options.ServerCertificateContext = SslStreamCertificateContext.Create(certificate, additionalCertificates: null);
        }

        if (options is { ServerCertificateContext: null, ServerCertificate: null, ServerCertificateSelectionCallback: null })
        {
            throw new ArgumentException("TLS needs a server certificate, or a callback that selects one.", nameof(options));
        }

        IServiceProvider services = builder.ApplicationServices;
        var logger = new GuardedLogger(services.GetRequiredService<ILoggerFactory>().CreateLogger(LogCategory));
        TimeProvider time = services.GetService<TimeProvider>() ?? TimeProvider.System;
        return builder.Use(next => new TlsMiddleware(next, options, timeout, time, logger).OnConnectionAsync);
    }
}
