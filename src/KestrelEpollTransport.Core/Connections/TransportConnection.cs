using System.Buffers;
using System.Collections;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// What an application sees of a connection besides its bytes: identity, items, end points and features. The
/// object is its own feature collection, so that a connection costs no dictionary.
/// </summary>
/// <remarks>
/// As with the stock transport's connections: all of it settable, and for one thread at a time.
/// </remarks>
internal abstract class TransportConnection : ConnectionContext, IFeatureCollection,
    IConnectionIdFeature, IConnectionItemsFeature, IConnectionTransportFeature, IConnectionLifetimeFeature,
    IMemoryPoolFeature, IConnectionSocketFeature
{
    private FeatureTable _features;
    private string? _connectionId;
    private IDictionary<object, object?>? _items;

    public override string ConnectionId
    {
        // The loop's log lines may ask at the same moment as the application: one id for both.
        get => _connectionId ?? Interlocked.CompareExchange(ref _connectionId, ConnectionIds.Next(), null) ?? _connectionId;
        set => _connectionId = value;
    }

    public override IDictionary<object, object?> Items
    {
        get => _items ??= new ConnectionItems();
        set => _items = value;
    }

    public override EndPoint? LocalEndPoint { get; set; }

    public override EndPoint? RemoteEndPoint { get; set; }

    public override IFeatureCollection Features => this;

    public abstract MemoryPool<byte> MemoryPool { get; }

    public abstract Socket Socket { get; }

    bool IFeatureCollection.IsReadOnly => false;

    int IFeatureCollection.Revision => _features.Revision;

    object? IFeatureCollection.this[Type key]
    {
        get => _features.Get(key, this);
        set => _features.Set(key, value);
    }

    public override void Abort() =>
        Abort(new ConnectionAbortedException("The connection was aborted by the application via ConnectionContext.Abort()."));

    void IConnectionLifetimeFeature.Abort() =>
        Abort(new ConnectionAbortedException("The connection was aborted by the application via IConnectionLifetimeFeature.Abort()."));

    TFeature? IFeatureCollection.Get<TFeature>()
        where TFeature : default =>
        (TFeature?)_features.Get(typeof(TFeature), this);

    void IFeatureCollection.Set<TFeature>(TFeature? instance)
        where TFeature : default =>
        _features.Set(typeof(TFeature), instance);

    IEnumerator<KeyValuePair<Type, object>> IEnumerable<KeyValuePair<Type, object>>.GetEnumerator() => _features.All(this).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => _features.All(this).GetEnumerator();
}
