using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>stub</summary>
public sealed class EpollTransportFactory : IConnectionListenerFactory, IConnectionListenerFactorySelector, IDisposable
{
    /// <summary>stub</summary>
    public EpollTransportFactory(IOptions<EpollTransportOptions> options, ILoggerFactory loggerFactory) { }
    /// <inheritdoc/>
    public bool CanBind(EndPoint endpoint) => false;
    /// <inheritdoc/>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) => throw new NotSupportedException();
    /// <inheritdoc/>
    public void Dispose() { }
}
