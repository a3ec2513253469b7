using Microsoft.Extensions.Options;

namespace KestrelEpollTransport;

/// <summary>
/// Empties a server of its connections before it ends, without breaking a request: it accepts no more, and each connection is closed behind the
/// next answer on it. <c>services.AddConnectionDraining()</c> adds it; the end of the host then begins with it. Thread-safe.
/// </summary>
/// <remarks>
/// Kestrel alone closes idle keep-alive connections the moment it stops. A client that sends a request at that moment gets no answer, and has
/// to know whether it may send it again. While draining, the client is told first: <c>Connection: close</c> with HTTP/1.1, GOAWAY with HTTP/2.
/// </remarks>
public sealed class ConnectionDraining
{
    /// <summary>A round trip around the world: whose handshake began before may end it.</summary>
    private static readonly TimeSpan s_handshakes = TimeSpan.FromMilliseconds(200);

    private static readonly TimeSpan s_lookEvery = TimeSpan.FromMilliseconds(20);

    private readonly TransportEngine? _engine;
    private readonly EpollServer? _server;
    private readonly TimeSpan _timeout;
    private readonly Lazy<Task> _unbound;
    private volatile bool _isDraining;

    // Otherwise other transports serve, of whose connections nothing is known: all of the time is theirs.
    private volatile bool _isServing;

    internal ConnectionDraining(TransportEngine? engine, EpollServer? server, IOptions<ConnectionDrainingOptions> options)
    {
        _engine = engine;
        _server = server;
        _timeout = options.Value.Timeout;
        _unbound = new Lazy<Task>(UnbindAsync);
    }

    /// <summary>Whether draining has begun. It does not end: a server that stopped accepting is on its way out.</summary>
    public bool IsDraining => _isDraining;

    private bool IsEmpty => _isServing && _engine!.CountInUse() <= 0;

    /// <summary>
    /// Stops accepting, for good, having accepted who the kernel had completed the connection of, and closes each connection behind its next
    /// answer. Connections of an <see cref="EpollServer"/> are asked to end, as when it stops. Ends when no connection is left, or after
    /// <see cref="ConnectionDrainingOptions.Timeout"/>. May be called again.
    /// </summary>
    /// <remarks>
    /// For a server that has started. Kestrel's endpoints over other transports (Sockets, QUIC) accept until it stops; their answers close, too.
    /// What a listener threw when it was unbound is thrown at the end of the wait.
    /// </remarks>
    /// <param name="cancellationToken">Ends the wait; draining goes on.</param>
    /// <returns>Whether no connection of the transport is left, those that it made itself included.</returns>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    public async Task<bool> DrainAsync(CancellationToken cancellationToken = default)
    {
        long deadlineMs = Environment.TickCount64 + (long)_timeout.TotalMilliseconds;
        _isDraining = true;
        Task unbound = _unbound.Value;
        while (!(unbound.IsCompleted && IsEmpty) && Environment.TickCount64 < deadlineMs)
        {
            await Task.Delay(s_lookEvery, cancellationToken);
        }

        if (unbound.IsFaulted)
        {
            await unbound;
        }

        return unbound.IsCompleted && IsEmpty;
    }

    private async Task UnbindAsync()
    {
        _isServing = _engine is { Listeners.IsEmpty: false };
        try
        {
            await (_engine?.UnbindAllAsync(s_handshakes) ?? Task.CompletedTask);
        }
        finally
        {
            // That server is stopped only behind this. Its connections count, and nobody else tells them.
            await (_server?.BeginStopAsync(CancellationToken.None) ?? Task.CompletedTask);
        }
    }
}
