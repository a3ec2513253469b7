using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Options;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>A listener factory of one kind together with what it logged.</summary>
internal sealed class Transport : IAsyncDisposable
{
    private readonly List<IConnectionListener> _listeners = [];

    public Transport(TransportKind kind, Action<TransportSettings>? configure = null)
    {
        Kind = kind;
        var settings = new TransportSettings();
        configure?.Invoke(settings);
        if (kind.IsOurs())
        {
            var options = new EpollTransportOptions();
            settings.ApplyTo(options, kind);
            Factory = kind.CreateListenerFactory(Options.Create(options), Logs);
        }
        else
        {
            var options = new SocketTransportOptions();
            settings.ApplyTo(options);
            Factory = new SocketTransportFactory(Options.Create(options), Logs);
        }
    }

    public TransportKind Kind { get; }

    public LogRecorder Logs { get; } = new();

    public IConnectionListenerFactory Factory { get; }

    public async Task<IConnectionListener> BindAsync(EndPoint endpoint)
    {
        IConnectionListener listener = await Factory.BindAsync(endpoint).OrTimeout();
        _listeners.Add(listener);
        return listener;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IConnectionListener listener in _listeners)
        {
            await listener.DisposeAsync().OrTimeout();
        }

        (Factory as IDisposable)?.Dispose();
    }
}
