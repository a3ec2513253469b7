namespace KestrelEpollTransport.Connections;

/// <summary>
/// The token that says that a connection is over, and the running of its callbacks: once, where they may block. Thread-safe.
/// </summary>
/// <remarks>
/// The source is made when somebody asks for the token, or never: whoever fires puts a mark in its place if it is the first there, and
/// whoever asks after that gets a cancelled token. Both are a compare-exchange from null, so every source that is handed out
/// was seen by who fires.
/// </remarks>
internal struct ClosedSignal
{
    private OneShotSignal _finished;

    /// <summary>Null, the source, or <see cref="NobodyAsked"/>.</summary>
    private object? _source;
    private bool _fired;

    public CancellationToken Token
    {
        get
        {
            object source = _source ?? Interlocked.CompareExchange(ref _source, new CancellationTokenSource(), null) ?? _source;
            return source is CancellationTokenSource made ? made.Token : new CancellationToken(canceled: true);
        }
    }

    /// <summary>Whether all callbacks have run.</summary>
    public readonly bool IsFinished => _finished.IsSet;

    /// <summary>It was fired before anybody asked for the token.</summary>
    private static object NobodyAsked { get; } = new();

    /// <summary>Ends when all callbacks have run; pending until <see cref="TryFire"/> was called.</summary>
    public Task WaitAsync() => _finished.WaitAsync();

    /// <summary>The connection is over; idempotent. True: the caller has to have <see cref="RunCallbacks"/> called.</summary>
    public bool TryFire()
    {
        if (Volatile.Read(ref _fired) || Interlocked.Exchange(ref _fired, true))
        {
            return false;
        }

        if (Interlocked.CompareExchange(ref _source, NobodyAsked, null) is not null)
        {
            return true;
        }

        _finished.Set();
        return false;
    }

    /// <summary>Cancels the token. Throws what a callback throws.</summary>
    public void RunCallbacks()
    {
        try
        {
            ((CancellationTokenSource)_source!).Cancel();
        }
        finally
        {
            _finished.Set();
        }
    }
}
