using System.Net;
using KestrelEpollTransport.Diagnostics;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace KestrelEpollTransport.Hosting;

/// <summary>One bound endpoint of a server: accepts, and gives what it accepts to its handler. Thread-safe, once it is started.</summary>
#pragma warning disable CA1001 // A token source without a timer needs no disposal.
internal sealed class ServerEndPoint(IConnectionListener listener, ConnectionDelegate handler, ConnectionSet connections, ILogger logger)
#pragma warning restore CA1001
{
    private static readonly TimeSpan s_firstPause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan s_longestPause = TimeSpan.FromSeconds(1);

    private readonly CancellationTokenSource _stopping = new();

    private Task _accepting = Task.CompletedTask;

    public EndPoint EndPoint => listener.EndPoint;

    /// <summary>Begins to accept.</summary>
    public void Start()
    {
        // What the host's start had as context is none of the connections'.
        using AsyncFlowControl _ = ExecutionContext.SuppressFlow();
        _accepting = Task.Run(AcceptAllAsync);
    }

    /// <summary>Stops listening, and ends when all that was accepted is with its handler.</summary>
    public async Task UnbindAsync(CancellationToken cancellationToken)
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        await listener.UnbindAsync(cancellationToken).ConfigureAwait(false);
        await _accepting.ConfigureAwait(false);
    }

    /// <summary>The same, but what was accepted and not taken is reset.</summary>
    public async Task DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        await listener.DisposeAsync().ConfigureAwait(false);
        await _accepting.ConfigureAwait(false);
    }

    private async Task AcceptAllAsync()
    {
        TimeSpan pause = TimeSpan.Zero;
        while (true)
        {
            try
            {
                if (await listener.AcceptAsync(CancellationToken.None).ConfigureAwait(false) is not { } connection)
                {
                    return;
                }

                connections.Serve(connection, handler);
                pause = TimeSpan.Zero;
            }
#pragma warning disable CA1031 // The listener's, whatever it is: the server has others, and this one may recover.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                if (_stopping.IsCancellationRequested)
                {
                    return;
                }

                if (pause == TimeSpan.Zero)
                {
                    ServerLog.AcceptFailed(logger, EndPoint, exception);
                    pause = s_firstPause;
                }

                await Task.Delay(pause, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                pause = pause * 2 < s_longestPause ? pause * 2 : s_longestPause;
            }
        }
    }
}
