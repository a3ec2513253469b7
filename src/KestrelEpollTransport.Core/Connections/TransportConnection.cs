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
    private BuiltInFeatures _builtIn;
    private List<KeyValuePair<Type, object>>? _others;
    private int _revision;
    private string? _connectionId;
    private IDictionary<object, object?>? _items;

    protected TransportConnection()
    {
        _builtIn.Id = this;
        _builtIn.Items = this;
        _builtIn.Transport = this;
        _builtIn.Lifetime = this;
        _builtIn.MemoryPool = this;
        _builtIn.Socket = this;
    }

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

    int IFeatureCollection.Revision => _revision;

    object? IFeatureCollection.this[Type key]
    {
        get
        {
            ref object? builtIn = ref _builtIn.Find(key, out bool found);
            return found ? builtIn : GetOther(key);
        }
        set
        {
            _revision++;
            ref object? builtIn = ref _builtIn.Find(key, out bool found);
            if (found)
            {
                builtIn = value;
            }
            else
            {
                SetOther(key, value);
            }
        }
    }

    public override void Abort() =>
        Abort(new ConnectionAbortedException("The connection was aborted by the application via ConnectionContext.Abort()."));

    void IConnectionLifetimeFeature.Abort() =>
        Abort(new ConnectionAbortedException("The connection was aborted by the application via IConnectionLifetimeFeature.Abort()."));

    TFeature? IFeatureCollection.Get<TFeature>()
        where TFeature : default =>
        (TFeature?)((IFeatureCollection)this)[typeof(TFeature)];

    void IFeatureCollection.Set<TFeature>(TFeature? instance)
        where TFeature : default =>
        ((IFeatureCollection)this)[typeof(TFeature)] = instance;

    IEnumerator<KeyValuePair<Type, object>> IEnumerable<KeyValuePair<Type, object>>.GetEnumerator()
    {
        foreach (Type key in BuiltInFeatures.Keys)
        {
            if (((IFeatureCollection)this)[key] is { } feature)
            {
                yield return new KeyValuePair<Type, object>(key, feature);
            }
        }

        foreach (KeyValuePair<Type, object> other in _others ?? [])
        {
            yield return other;
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => ((IEnumerable<KeyValuePair<Type, object>>)this).GetEnumerator();

    private object? GetOther(Type key)
    {
        foreach (KeyValuePair<Type, object> other in _others ?? [])
        {
            if (other.Key == key)
            {
                return other.Value;
            }
        }

        return null;
    }

    // A list, because there are few: Kestrel adds five.
    private void SetOther(Type key, object? value)
    {
        ArgumentNullException.ThrowIfNull(key);
        int index = _others?.FindIndex(other => other.Key == key) ?? -1;
        if (value is null)
        {
            if (index >= 0)
            {
                _others!.RemoveAt(index);
            }
        }
        else if (index >= 0)
        {
            _others![index] = new KeyValuePair<Type, object>(key, value);
        }
        else
        {
            (_others ??= []).Add(new KeyValuePair<Type, object>(key, value));
        }
    }

    /// <summary>The features that every connection has, each in a field of its own.</summary>
    private struct BuiltInFeatures
    {
        public static readonly Type[] Keys =
        [
            typeof(IConnectionIdFeature), typeof(IConnectionTransportFeature), typeof(IConnectionItemsFeature),
            typeof(IMemoryPoolFeature), typeof(IConnectionLifetimeFeature), typeof(IConnectionSocketFeature),
        ];

        public object? Id;
        public object? Items;
        public object? Transport;
        public object? Lifetime;
        public object? MemoryPool;
        public object? Socket;
        private object? _none;

        [System.Diagnostics.CodeAnalysis.UnscopedRef]
        public ref object? Find(Type key, out bool found)
        {
            found = true;
            if (key == typeof(IConnectionIdFeature))
            {
                return ref Id;
            }

            if (key == typeof(IConnectionTransportFeature))
            {
                return ref Transport;
            }

            if (key == typeof(IConnectionItemsFeature))
            {
                return ref Items;
            }

            if (key == typeof(IMemoryPoolFeature))
            {
                return ref MemoryPool;
            }

            if (key == typeof(IConnectionLifetimeFeature))
            {
                return ref Lifetime;
            }

            if (key == typeof(IConnectionSocketFeature))
            {
                return ref Socket;
            }

            found = false;
            return ref _none;
        }
    }
}
