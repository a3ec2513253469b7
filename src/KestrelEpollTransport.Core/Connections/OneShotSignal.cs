namespace KestrelEpollTransport.Connections;

/// <summary>Something that happens once and may be awaited; allocates only for who awaits it early. Thread-safe.</summary>
/// <remarks>
/// <see cref="Set"/> writes the flag, fences, reads the source; who awaits publishes the source (a fence) and then reads the
/// flag: one of them sees the other.
/// </remarks>
internal struct OneShotSignal
{
    private TaskCompletionSource? _source;
    private volatile bool _isSet;

    public readonly bool IsSet => _isSet;

    public void Set()
    {
        _isSet = true;
        Interlocked.MemoryBarrier();
        Volatile.Read(ref _source)?.TrySetResult();
    }

    public Task WaitAsync()
    {
        if (_isSet)
        {
            return Task.CompletedTask;
        }

        TaskCompletionSource source = new(TaskCreationOptions.RunContinuationsAsynchronously);
        source = Interlocked.CompareExchange(ref _source, source, null) ?? source;
        if (_isSet)
        {
            source.TrySetResult();
        }

        return source.Task;
    }
}
