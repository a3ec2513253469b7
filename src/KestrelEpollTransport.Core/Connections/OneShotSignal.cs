namespace KestrelEpollTransport.Connections;

/// <summary>Something that happens once and may be awaited; allocates only for who awaits it early. Thread-safe.</summary>
/// <remarks>
/// Who awaits puts its source there only if nothing is there; <see cref="Set"/> exchanges whatever is there for the mark. So every
/// source that somebody awaits is seen by who sets.
/// </remarks>
internal struct OneShotSignal
{
    /// <summary>Null, the source of who awaits, or <see cref="HasHappened"/>.</summary>
    private object? _state;

    public readonly bool IsSet => ReferenceEquals(Volatile.Read(in _state), HasHappened);

    private static object HasHappened { get; } = new();

    public void Set()
    {
        if (Interlocked.Exchange(ref _state, HasHappened) is TaskCompletionSource source)
        {
            source.TrySetResult();
        }
    }

    public Task WaitAsync()
    {
        object? state = Volatile.Read(ref _state);
        if (state is null)
        {
            TaskCompletionSource made = new(TaskCreationOptions.RunContinuationsAsynchronously);
            state = Interlocked.CompareExchange(ref _state, made, null) ?? made;
        }

        return state is TaskCompletionSource source ? source.Task : Task.CompletedTask;
    }
}
