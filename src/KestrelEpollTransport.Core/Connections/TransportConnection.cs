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
/// object is its own feature collection and its own seven features, so that a connection costs no dictionary.
/// </summary>
/// <remarks>
/// The seven are those of the stock transport of .NET 11; on .NET 10 it lacks <see cref="IConnectionEndPointFeature"/>. Features that it does not
/// have are found when they are asked for, and not enumerated.
/// As with the stock transport's connections: all of it settable, and for one thread at a time.
/// </remarks>
internal abstract class TransportConnection : ConnectionContext, IFeatureCollection,
    IConnectionIdFeature, IConnectionItemsFeature, IConnectionTransportFeature, IConnectionLifetimeFeature,
    IConnectionEndPointFeature, IMemoryPoolFeature, IConnectionSocketFeature, ITcpInfoFeature, IUnixPeerCredentialsFeature
{
    /// <summary>What Kestrel adds to a connection.</summary>
    private const int UsualCount = 4;

    private static readonly Type[] s_builtIn =
    [
        typeof(IConnectionIdFeature), typeof(IConnectionTransportFeature), typeof(IConnectionItemsFeature),
        typeof(IMemoryPoolFeature), typeof(IConnectionLifetimeFeature), typeof(IConnectionSocketFeature), typeof(IConnectionEndPointFeature),
    ];

    // What was set, replaced or, with a null value, removed. An array, because there are few.
    private KeyValuePair<Type, object?>[] _set = [];
    private int _count;
    private int _revision;
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

    /// <summary>Where the application's code goes on after awaits; null: on the thread pool. A feature for our own middleware.</summary>
    public abstract ApplicationContext? ApplicationContext { get; }

    /// <summary>Whether <see cref="ITcpInfoFeature"/> is a feature of this connection.</summary>
    public abstract bool HasTcpInfo { get; }

    /// <summary>Whether <see cref="IUnixPeerCredentialsFeature"/> is.</summary>
    public abstract bool HasPeerCredentials { get; }

    bool IFeatureCollection.IsReadOnly => false;

    int IFeatureCollection.Revision => _revision;

    object? IFeatureCollection.this[Type key]
    {
        get => Get(key);
        set => Set(key, value);
    }

    public abstract bool TryGetTcpInfo(out TcpInfo info);

    public abstract bool TryGetPeerCredentials(out UnixPeerCredentials credentials);

    public override void Abort() =>
        Abort(new ConnectionAbortedException("The connection was aborted by the application via ConnectionContext.Abort()."));

    void IConnectionLifetimeFeature.Abort() =>
        Abort(new ConnectionAbortedException("The connection was aborted by the application via IConnectionLifetimeFeature.Abort()."));

    TFeature? IFeatureCollection.Get<TFeature>()
        where TFeature : default =>
        (TFeature?)Get(typeof(TFeature));

    void IFeatureCollection.Set<TFeature>(TFeature? instance)
        where TFeature : default =>
        Set(typeof(TFeature), instance);

    IEnumerator<KeyValuePair<Type, object>> IEnumerable<KeyValuePair<Type, object>>.GetEnumerator() =>
        s_builtIn.Union(_set.Take(_count).Select(static entry => entry.Key))
            .Select(key => KeyValuePair.Create(key, Get(key)!))
            .Where(static entry => entry.Value is not null)
            .ToList()
            .GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => ((IEnumerable<KeyValuePair<Type, object>>)this).GetEnumerator();

    private object? Get(Type key)
    {
        int index = IndexOf(key);
        return index >= 0 ? _set[index].Value : Array.IndexOf(s_builtIn, key) >= 0 ? this : GetOwn(key);
    }

    private object? GetOwn(Type key) =>
        key == typeof(ApplicationContext) ? ApplicationContext
        : key == typeof(IQueueingDelayFeature) ? this as IQueueingDelayFeature
        : key == typeof(ITcpInfoFeature) && HasTcpInfo ? this
        : key == typeof(IUnixPeerCredentialsFeature) && HasPeerCredentials ? this
        : null;

    private void Set(Type key, object? value)
    {
        ArgumentNullException.ThrowIfNull(key);
        _revision++;
        int index = IndexOf(key);
        if (index >= 0)
        {
            _set[index] = new KeyValuePair<Type, object?>(key, value);
            return;
        }

        if (_count == _set.Length)
        {
            Array.Resize(ref _set, _count + UsualCount);
        }

        // Published whole: a timer may look for a feature meanwhile.
        _set[_count] = new KeyValuePair<Type, object?>(key, value);
        Volatile.Write(ref _count, _count + 1);
    }

    private int IndexOf(Type key)
    {
        int index = Volatile.Read(ref _count) - 1;
        while (index >= 0 && _set[index].Key != key)
        {
            index--;
        }

        return index;
    }
}
