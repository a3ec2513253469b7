using System.Net;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Listening;

/// <summary>
/// Says in the log what the transport serves: one line when the host has started, for all that its services have bound until then. What is bound
/// later, or without a host, has a line of its own. Thread-safe.
/// </summary>
internal sealed class ServingNotice : IHostedLifecycleService
{
    private readonly Lock _lock = new();

    // Null: nobody will say that the host has started. Otherwise, in the order of binding.
    private List<EndPoint>? _held;
    private TransportEngine? _engine;

    /// <summary>An endpoint was bound.</summary>
    public void OnBound(TransportEngine engine, EndPoint endPoint)
    {
        bool isFirst;
        using (_lock.Hold())
        {
            isFirst = _engine is null;
            _engine = engine;
            if (_held is not null)
            {
                _held.Add(endPoint);
                return;
            }
        }

        Say(engine, [endPoint], isFirst);
    }

    public Task StartingAsync(CancellationToken cancellationToken)
    {
        using (_lock.Hold())
        {
            _held = [];
        }

        return Task.CompletedTask;
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken)
    {
        List<EndPoint> bound;
        using (_lock.Hold())
        {
            bound = _held ?? [];
            _held = null;
        }

        if (bound.Count != 0)
        {
            Say(_engine!, bound, isFirst: true);
        }

        return Task.CompletedTask;
    }

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private static void Say(TransportEngine engine, List<EndPoint> endPoints, bool isFirst)
    {
        if (engine.Logger.IsEnabled(LogLevel.Information))
        {
            AcceptLog.Serving(engine.Logger, string.Join(", ", endPoints), engine.Options.LoopCount, engine.Options.Scheduling);
        }

        if (isFirst && engine.Logger.IsEnabled(LogLevel.Debug))
        {
            AcceptLog.ResolvedOptions(engine.Logger, engine.Options.Describe());
        }
    }
}
