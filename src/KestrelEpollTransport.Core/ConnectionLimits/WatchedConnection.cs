using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace KestrelEpollTransport.ConnectionLimits;

/// <summary>
/// A connection for those behind its time limits, with its pipe watched. A middleware that puts another pipe in front of it, as TLS does, has that one
/// watched from then on: requests are seen there, and nowhere below. As any connection, for one thread at a time.
/// </summary>
internal sealed class WatchedConnection : ConnectionContext, IConnectionTransportFeature
{
    private readonly ConnectionContext _inner;
    private readonly TimedConnection _timed;
    private WatchedPipe _transport;

    public WatchedConnection(ConnectionContext inner, TimedConnection timed)
    {
        _inner = inner;
        _timed = timed;
        _transport = new WatchedPipe(inner.Transport, timed);
    }

    public override IDuplexPipe Transport
    {
        get => _transport;
        set
        {
            _inner.Transport = value;
            _transport.Cover();

            // Not the value: where there are limits in front of these, they watch it too.
            _transport = new WatchedPipe(_inner.Transport, _timed);
        }
    }

    public override string ConnectionId
    {
        get => _inner.ConnectionId;
        set => _inner.ConnectionId = value;
    }

    public override IFeatureCollection Features => _inner.Features;

    public override IDictionary<object, object?> Items
    {
        get => _inner.Items;
        set => _inner.Items = value;
    }

    public override CancellationToken ConnectionClosed
    {
        get => _inner.ConnectionClosed;
        set => _inner.ConnectionClosed = value;
    }

    public override EndPoint? LocalEndPoint
    {
        get => _inner.LocalEndPoint;
        set => _inner.LocalEndPoint = value;
    }

    public override EndPoint? RemoteEndPoint
    {
        get => _inner.RemoteEndPoint;
        set => _inner.RemoteEndPoint = value;
    }

    public override void Abort() => _inner.Abort();

    public override void Abort(ConnectionAbortedException abortReason) => _inner.Abort(abortReason);

    public override async ValueTask DisposeAsync()
    {
        await _inner.DisposeAsync().ConfigureAwait(false);
        await base.DisposeAsync().ConfigureAwait(false);
    }
}
