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
    private List<(TransportEngine Engine, EndPoint EndPoint)>? _held;
    private bool _hasDescribed;

    /// <summary>An endpoint was bound.</summary>
    public void OnBound(TransportEngine engine, EndPoint endPoint)
    {
        using (_lock.Hold())
        {
            if (_held is not null)
            {
                _held.Add((engine, endPoint));
                return;
            }
        }

        Say(engine, [endPoint]);
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
        List<(TransportEngine Engine, EndPoint EndPoint)>? bound;
        using (_lock.Hold())
        {
            bound = _held;
            _held = null;
        }

        if (bound is [var (engine, _), ..])
        {
            Say(engine, bound.Select(static one => one.EndPoint));
        }

        return Task.CompletedTask;
    }

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private void Say(TransportEngine engine, IEnumerable<EndPoint> endPoints)
    {
        AcceptLog.Serving(engine.Logger, string.Join(", ", endPoints), engine.Options.LoopCount, $"{engine.Options.Scheduling}");
        if (engine.Logger.IsEnabled(LogLevel.Debug) && !Interlocked.Exchange(ref _hasDescribed, true))
        {
            AcceptLog.ResolvedOptions(engine.Logger, engine.Options.Describe());
        }
    }
}
