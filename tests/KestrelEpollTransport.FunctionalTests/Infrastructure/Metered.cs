using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;

namespace KestrelEpollTransport.FunctionalTests;

/// <summary>A transport with one loop, in a container of its own, and what its meter tells.</summary>
internal sealed class Metered : IAsyncDisposable
{
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly LogRecorder _logs = new();
    private readonly EpollTransportFactory _factory;
    private readonly List<IConnectionListener> _listeners = [];

    public Metered(TransportKind kind, Action<EpollTransportOptions>? configure = null)
    {
        EpollTransportOptions options = new();
        new TransportSettings { LoopCount = 1 }.ApplyTo(options, kind);
        configure?.Invoke(options);
        Metrics = new MetricsRecorder(_services);
        Engine = new TransportEngine(options, _logs, meterFactory: _services.GetRequiredService<IMeterFactory>(), createPoller: kind.CreatePoller());
        _factory = new EpollTransportFactory(Engine, ownsEngine: true);
    }

    public TransportEngine Engine { get; }

    public MetricsRecorder Metrics { get; }

    public async Task<IConnectionListener> BindAsync(EndPoint endPoint)
    {
        IConnectionListener listener = await _factory.BindAsync(endPoint).OrTimeout();
        _listeners.Add(listener);
        return listener;
    }

    public async Task<(Socket Client, ConnectionContext Server)> ConnectAsync(bool slowClient = false)
    {
        IConnectionListener listener = await BindAsync(Net.AnyLoopbackPort);
        Socket client = Net.CreateClient(listener.EndPoint);
        if (slowClient)
        {
            client.ReceiveBufferSize = 64 * 1024;
        }

        await client.ConnectAsync(listener.EndPoint).OrTimeout();
        return (client, (await listener.AcceptAsync().OrTimeout())!);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IConnectionListener listener in _listeners)
        {
            await listener.DisposeAsync().OrTimeout();
        }

        _factory.Dispose();
        Metrics.Dispose();
        await _services.DisposeAsync();
        _logs.Dispose();
    }
}
