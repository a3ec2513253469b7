using Microsoft.AspNetCore.Connections.Features;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The features of a connection that were set, replaced or removed. The six that every connection has are the connection
/// itself, and cost nothing until they are replaced. For one thread at a time.
/// </summary>
internal struct FeatureTable
{
    /// <summary>What Kestrel adds to a connection.</summary>
    private const int UsualCount = 4;

    private static readonly Type[] s_builtIn =
    [
        typeof(IConnectionIdFeature), typeof(IConnectionTransportFeature), typeof(IConnectionItemsFeature),
        typeof(IMemoryPoolFeature), typeof(IConnectionLifetimeFeature), typeof(IConnectionSocketFeature),
    ];

    // An array, because there are few. A null value: removed.
    private KeyValuePair<Type, object?>[]? _set;
    private int _count;

    /// <summary>How often something was set.</summary>
    public int Revision { get; private set; }

    /// <param name="key">The feature's type.</param>
    /// <param name="connection">What the built-in features are.</param>
    public readonly object? Get(Type key, object connection)
    {
        for (int i = 0; i < _count; i++)
        {
            if (_set![i].Key == key)
            {
                return _set[i].Value;
            }
        }

        return IsBuiltIn(key) ? connection : null;
    }

    public void Set(Type key, object? value)
    {
        ArgumentNullException.ThrowIfNull(key);
        Revision++;
        KeyValuePair<Type, object?> entry = new(key, value);
        for (int i = 0; i < _count; i++)
        {
            if (_set![i].Key == key)
            {
                _set[i] = entry;
                return;
            }
        }

        if (_set is null || _count == _set.Length)
        {
            Array.Resize(ref _set, _count + UsualCount);
        }

        _set[_count++] = entry;
    }

    /// <summary>All of them; a later change does not show.</summary>
    /// <param name="connection">What the built-in features are.</param>
    public readonly List<KeyValuePair<Type, object>> All(object connection)
    {
        List<KeyValuePair<Type, object>> all = [];
        foreach (Type key in s_builtIn)
        {
            if (Get(key, connection) is { } feature)
            {
                all.Add(new KeyValuePair<Type, object>(key, feature));
            }
        }

        for (int i = 0; i < _count; i++)
        {
            if (_set![i].Value is { } feature && !IsBuiltIn(_set[i].Key))
            {
                all.Add(new KeyValuePair<Type, object>(_set[i].Key, feature));
            }
        }

        return all;
    }

    private static bool IsBuiltIn(Type key) =>
        key == typeof(IConnectionIdFeature) || key == typeof(IConnectionTransportFeature) || key == typeof(IConnectionItemsFeature)
        || key == typeof(IMemoryPoolFeature) || key == typeof(IConnectionLifetimeFeature) || key == typeof(IConnectionSocketFeature);
}
