namespace KestrelEpollTransport.Connections;

/// <summary>
/// Lets one call at a time into one end of a pipe, and lets anyone complete that end at any time: who completes
/// it while a call is inside leaves the freeing of its buffers to that call.
/// </summary>
/// <remarks>
/// <code>
/// from          to             who        who frees the buffers
/// idle          in use         Enter      -
/// in use        idle           Leave      -
/// idle          completed      Complete   the caller of Complete
/// in use        use+completed  Complete   -
/// use+completed completed      Leave      the caller of Leave
/// </code>
/// Without it, disposing a connection while a forgotten loop of the application still reads from it would return
/// a block to the pool under the kernel's feet, and into another connection's hands.
/// </remarks>
internal struct UseGate
{
    private const int InUse = 1;
    private const int Completed = 2;

    private int _state;

    public readonly bool IsCompleted => (Volatile.Read(in _state) & Completed) != 0;

    /// <summary>Begins a call. The two refusals are told apart by <see cref="IsCompleted"/>.</summary>
    public bool TryEnter() => Interlocked.CompareExchange(ref _state, InUse, 0) == 0;

    /// <summary>Ends a call. True: it was completed meanwhile and the caller has to free the buffers.</summary>
    public bool Leave() => Interlocked.CompareExchange(ref _state, 0, InUse) != InUse && Free();

    /// <summary>No call may begin any more; idempotent. True: the caller has to free the buffers.</summary>
    public bool Complete()
    {
        int state = Interlocked.Or(ref _state, Completed);
        return state == 0;
    }

    private bool Free()
    {
        Volatile.Write(ref _state, Completed);
        return true;
    }
}
