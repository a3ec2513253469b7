using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>stub</summary>
public sealed class EpollConnectionContextFactory : IDisposable
{
    /// <summary>stub</summary>
    public EpollConnectionContextFactory(IOptions<EpollTransportOptions> options, ILoggerFactory loggerFactory) { }
    /// <summary>stub</summary>
    public ConnectionContext Create(Socket socket) => throw new NotSupportedException();
    /// <inheritdoc/>
    public void Dispose() { }
}
