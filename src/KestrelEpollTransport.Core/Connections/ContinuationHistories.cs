using System.Runtime.CompilerServices;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// What code that goes on after an await has done on all connections, by what is resumed: a method that awaits is a type of its own. So the
/// first time that a connection meets it, what others have seen is known. Thread-safe.
/// </summary>
internal sealed class ContinuationHistories(Func<DispatchHistory> create)
{
    // Weak: code that can be unloaded is not kept.
    private readonly ConditionalWeakTable<Type, DispatchHistory> _histories = [];

    /// <summary>Of code with which requests begin.</summary>
    public DispatchHistory Starts { get; } = create();

    public DispatchHistory Of(Type kind) => _histories.TryGetValue(kind, out DispatchHistory? history)
        ? history
        : Uninterrupted.Call((_histories, kind, create), static all => all._histories.GetValue(all.kind, _ => all.create()));
}
