using System.Net;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport;

/// <summary>
/// The server of a host without Kestrel: binds the endpoints of <see cref="EpollServerOptions"/>, runs a handler for each connection, and lets
/// them end before the host does. <c>services.AddEpollServer()</c> adds it, as a service of the container too. The host starts and stops it;
/// <see cref="EndPoints"/> is for any thread.
/// </summary>
/// <remarks>
/// <para>A connection lives as long as its handler: when that returns, what it wrote is sent and the connection closed. One that throws costs its
/// connection and one line at Error. A reset by the client, TLS that it broke, and a wait that was cancelled because somebody asked for the end
/// are lines at Debug.</para>
/// <para>The stop: endpoints are unbound, and what the kernel had completed is still served. Connections are then asked to end, by
/// <c>IConnectionLifetimeNotificationFeature.ConnectionClosedRequested</c>. Those that have not ended within <c>HostOptions.ShutdownTimeout</c>
/// are aborted.</para>
/// <para>When a handler has returned, its client has 30 seconds to take what is left to be sent; then the connection is aborted.
/// The clock is the container's <see cref="TimeProvider"/>, if it has one.</para>
/// </remarks>
public sealed class EpollServer : IHostedService, IAsyncDisposable, IDisposable
{
    /// <summary>How long the host waits when it has no more time: for handlers to find out that their connections were aborted.</summary>
    private static readonly TimeSpan s_lastWait = TimeSpan.FromSeconds(1);

    private readonly EpollServerOptions _options;
    private readonly IServiceProvider _services;
    private readonly ILogger _logger;
    private readonly ConnectionSet _connections;
    private ServerEndPoint[] _endPoints = [];

    internal EpollServer(EpollServerOptions options, IServiceProvider services)
    {
        _options = options;
        _services = services;
        _logger = new GuardedLogger(services.GetRequiredService<ILoggerFactory>().CreateLogger("KestrelEpollTransport.Server"));
        _connections = new ConnectionSet(services.GetService<TimeProvider>() ?? TimeProvider.System, _logger);
    }

    /// <summary>What is listened on, in the order of <see cref="EpollServerOptions.Listen"/>, with the ports that the kernel chose. Empty before the start.</summary>
    public IReadOnlyList<EndPoint> EndPoints { get; private set; } = [];

    /// <summary>Binds all endpoints, or none, and then begins to accept. For the host.</summary>
    /// <param name="cancellationToken">Ends the start, where a transport waits for something.</param>
    /// <returns>The start.</returns>
    /// <exception cref="AddressInUseException">An address is in use.</exception>
    /// <exception cref="InvalidOperationException">No transport of the container binds such an endpoint on this platform.</exception>
    /// <exception cref="System.Net.Sockets.SocketException">An endpoint can't be bound for another reason.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        List<ServerEndPoint> bound = [];
        try
        {
            foreach ((EndPoint endPoint, Action<IConnectionBuilder> configure) in _options.EndPoints)
            {
                cancellationToken.ThrowIfCancellationRequested();
                ConnectionBuilder builder = new(_services);
                configure(builder);
                ConnectionDelegate handler = builder.Build();
                bound.Add(new ServerEndPoint(await BindAsync(endPoint, cancellationToken).ConfigureAwait(false), handler, _connections, _logger));
            }
        }
        catch
        {
            await Task.WhenAll(bound.Select(static endPoint => endPoint.DisposeAsync())).ConfigureAwait(false);
            throw;
        }

        _endPoints = [.. bound];
        EndPoints = Array.ConvertAll(_endPoints, static endPoint => endPoint.EndPoint);
        foreach (ServerEndPoint endPoint in _endPoints)
        {
            endPoint.Start();
            ServerLog.Listening(_logger, endPoint.EndPoint);
        }

        if (_endPoints.Length == 0)
        {
            ServerLog.NoEndPoint(_logger);
        }
    }

    /// <summary>Unbinds the endpoints and waits until the connections have ended: see the remarks. For the host.</summary>
    /// <param name="cancellationToken">The end of the wait: connections are aborted.</param>
    /// <returns>The stop.</returns>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        // A listener may fail: the others and the connections are to end all the same. It is thrown behind that.
        Task begun = BeginStopAsync(cancellationToken);
        await begun.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        // Or the host has no more time.
        await _connections.WhenEndedAsync().WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Task disposed = Task.WhenAll(_endPoints.Select(static endPoint => endPoint.DisposeAsync()));
        await WaitAsync(disposed).ConfigureAwait(false);
        if (_connections.Count > 0)
        {
            await AbortAsync().ConfigureAwait(false);
        }

        if (begun.IsFaulted)
        {
            await begun.ConfigureAwait(false);
        }
    }

    /// <summary>For a host that is disposed of without a stop, as when another service failed to start: as a stop without any time left.</summary>
    /// <returns>The end.</returns>
    public ValueTask DisposeAsync() => new(StopAsync(new CancellationToken(canceled: true)));

    /// <summary>As <see cref="DisposeAsync"/>; blocks for a second or two where handlers don't return.</summary>
    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();

    /// <summary>Unbinds the endpoints, and asks the connections to end. May be called again. Any thread may call it.</summary>
    internal async Task BeginStopAsync(CancellationToken cancellationToken)
    {
        try
        {
            await Task.WhenAll(_endPoints.Select(endPoint => endPoint.UnbindAsync(cancellationToken))).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _connections.AskToEnd();
        }
    }

    // Not for ever, and whatever comes of it: the host is ending.
    private static async Task WaitAsync(Task task) => await task.WaitAsync(s_lastWait).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private async Task AbortAsync()
    {
        ServerLog.ConnectionsAborted(_logger, _connections.Count);
        _connections.Abort();

        // A handler may wait for nothing else.
        _connections.AskToEnd();
        await WaitAsync(_connections.WhenEndedAsync()).ConfigureAwait(false);
        if (_connections.Count > 0)
        {
            ServerLog.HandlersLeft(_logger, _connections.Count);
        }
    }

    // As Kestrel does: the last that was added is asked first.
    private async Task<IConnectionListener> BindAsync(EndPoint endPoint, CancellationToken cancellationToken)
    {
        IConnectionListenerFactory factory =
            _services.GetServices<IConnectionListenerFactory>().LastOrDefault(one => one is not IConnectionListenerFactorySelector selector || selector.CanBind(endPoint))
            ?? throw new InvalidOperationException($"{endPoint}: no transport of the container binds such an endpoint. This platform is not known, or the transport is switched off (EpollTransport:Enabled).");
        try
        {
            return await factory.BindAsync(endPoint, cancellationToken).ConfigureAwait(false);
        }
        catch (AddressInUseException exception)
        {
            throw new AddressInUseException($"{endPoint}: {exception.Message}", exception);
        }
    }
}
