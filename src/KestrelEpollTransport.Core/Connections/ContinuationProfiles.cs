using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// What the code of one connection that goes on after awaits has done lately, by what is resumed: so a method that blocks is kept apart from
/// what it blocks for, and the streams of a connection from each other as far as their code differs. Thread-safe.
/// </summary>
/// <remarks>
/// What is resumed is the innermost method that waited. Those that await it go on in the same piece, and what they do counts for it. Some
/// waits are resumed by an object that serves many (a channel's): those share a profile, of this connection only.
/// </remarks>
internal sealed class ContinuationProfiles(ContinuationHistories histories)
{
    /// <summary>The kinds that a connection meets behind these share a profile.</summary>
    private const int MaxKinds = 16;

    private readonly ContinuationProfile _others = new(typeof(object), histories.Of(typeof(object)));
    private ContinuationProfile[] _known = [];

    /// <summary>Of code with which requests begin.</summary>
    public ContinuationProfile Starts { get; } = new(typeof(object), histories.Starts);

    /// <summary>Of what was posted: an await posts the resumption of its method.</summary>
    public ContinuationProfile Of(SendOrPostCallback callback, object? state)
    {
        object? target = state is Delegate resumption ? resumption.Target : state;
        Type kind = target?.GetType() ?? callback.Method.DeclaringType ?? typeof(object);
        ContinuationProfile[] known = Volatile.Read(ref _known);
        foreach (ContinuationProfile profile in known)
        {
            if (profile.Kind == kind)
            {
                return profile;
            }
        }

        if (known.Length == MaxKinds)
        {
            return _others;
        }

        // Of two threads that add at the same moment one is lost, and comes again.
        ContinuationProfile added = new(kind, histories.Of(kind));
        Volatile.Write(ref _known, [.. known, added]);
        return added;
    }
}

/// <summary>What is known of one kind of code.</summary>
internal sealed class ContinuationProfile(Type kind, DispatchHistory history)
{
    private DispatchProfile _dispatches = new(history);

    public Type Kind => kind;

    public ref DispatchProfile Dispatches => ref _dispatches;
}
