using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>stub</summary>
public sealed class EpollConnectionFactory : IConnectionFactory, IDisposable
{
    /// <summary>stub</summary>
    public EpollConnectionFactory(IOptions<EpollTransportOptions> options, ILoggerFactory loggerFactory) { }
    /// <inheritdoc/>
    public ValueTask<ConnectionContext> ConnectAsync(EndPoint endpoint, CancellationToken cancellationToken = default) => throw new NotSupportedException();
    /// <inheritdoc/>
    public void Dispose() { }
}
