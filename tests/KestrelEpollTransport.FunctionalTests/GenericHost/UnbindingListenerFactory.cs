using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests.GenericHost;

/// <summary>Sockets, with something added to what unbinding does.</summary>
internal sealed class UnbindingListenerFactory(IServiceProvider services, Func<Task> unbinding) : IConnectionListenerFactory
{
    private readonly SocketTransportFactory _inner = ActivatorUtilities.CreateInstance<SocketTransportFactory>(services);

    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new Listener(await _inner.BindAsync(endpoint, cancellationToken), unbinding);

    private sealed class Listener(IConnectionListener inner, Func<Task> unbinding) : IConnectionListener
    {
        public EndPoint EndPoint => inner.EndPoint;

        public ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default) => inner.AcceptAsync(cancellationToken);

        public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            await inner.UnbindAsync(cancellationToken);
            await unbinding();
        }

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
