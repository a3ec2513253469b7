using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// A read or a flush that waits: its result, and the one slot for the continuation of who awaits it. The pipe's end that has it
/// says who may complete it, and runs the continuation where scheduling wants it.
/// </summary>
/// <remarks>
/// <code>
/// slot           from                to                  who
/// none           Begin               the continuation    OnCompleted
/// none           Begin               completed           Complete, which returns none
/// continuation   OnCompleted         completed           Complete, which returns it
/// completed      Complete            completed           OnCompleted, which came late: its caller has the continuation scheduled
/// </code>
/// <para>Attaching and completing are one exchange each on the slot: one of the two sees the other. A continuation that comes late
/// never runs on the thread that attached it.</para>
/// <para>An operation is <i>open</i> from its beginning until somebody has taken its result. A call that is made meanwhile gets the same
/// operation, as on a <see cref="System.IO.Pipelines.Pipe"/>.</para>
/// </remarks>
internal struct PendingOperation<TResult>
{
    private static readonly Action<object?> s_completed = static _ => { };

    private Action<object?>? _continuation;
    private object? _state;
    private ExecutionContext? _context;
    private ExceptionDispatchInfo? _error;
    private TResult? _result;
    private CancellationToken _token;
    private CancellationTokenRegistration _registration;
    private volatile bool _isOpen;
    private bool _wasAsked;
    private int _number;

    /// <summary>To make a <see cref="ValueTask{TResult}"/> of it.</summary>
    public readonly short Version => (short)_number;

    /// <summary>Which operation it is: as <see cref="Version"/>, but one that comes again after 65,536 others is another number.</summary>
    public readonly int Number => _number;

    /// <summary>Whether it was begun and nobody has taken the result.</summary>
    public readonly bool IsOpen => _isOpen;

    private readonly bool IsCompleted => ReferenceEquals(Volatile.Read(in _continuation), s_completed);

    /// <summary>A new operation, which is pending. The one before has ended.</summary>
    public void Begin()
    {
        _number++;
        _state = null;
        _context = null;
        _error = null;
        _result = default;
        _isOpen = true;
        _wasAsked = false;
        _token = default;
        Volatile.Write(ref _continuation, null);
    }

    /// <summary>Has a token end it, by <paramref name="fired"/>. Before anybody may complete it; it may be called at once.</summary>
    public void Register(Action<object?> fired, object end, CancellationToken token)
    {
        if (token.CanBeCanceled)
        {
            _token = token;
            _registration = token.UnsafeRegister(fired, end);
        }
    }

    /// <summary>Before it is completed. Waits for a callback of the token that runs at this moment, so that it can't end the next operation.</summary>
    public void Unregister()
    {
        Uninterrupted.Dispose(_registration);
        _registration = default;
    }

    /// <summary>What it throws if its token fired.</summary>
    public readonly OperationCanceledException Canceled() => new(_token);

    /// <summary>Whether somebody awaits it already. False: nobody did a moment ago.</summary>
    public readonly bool IsAwaited => Volatile.Read(in _continuation) is { } attached && attached != s_completed;

    /// <summary>Completes the operation. What it returns is the caller's to run.</summary>
    /// <param name="result">If there is no error.</param>
    /// <param name="error">What taking the result throws.</param>
    /// <param name="isTold">The first who asks is told that it is completed.</param>
    public Continuation Complete(TResult? result, ExceptionDispatchInfo? error, bool isTold)
    {
        _result = result;
        _error = error;
        if (isTold)
        {
            _wasAsked = true;
        }

        return new Continuation(Interlocked.Exchange(ref _continuation, s_completed), _state, _context);
    }

    /// <summary>
    /// Mostly pending to the first who asks: an await asks once, and would go on by itself, on a thread that scheduling did not choose, if
    /// the operation was completed since. Its continuation then comes late. Who asks again is told.
    /// </summary>
    public ValueTaskSourceStatus GetStatus(short token)
    {
        Check(token);
        bool wasAsked = _wasAsked;
        _wasAsked = true;
        return !wasAsked || !IsCompleted ? ValueTaskSourceStatus.Pending
            : _error is null ? ValueTaskSourceStatus.Succeeded
            : _error.SourceException is OperationCanceledException { CancellationToken.IsCancellationRequested: true } ? ValueTaskSourceStatus.Canceled
            : ValueTaskSourceStatus.Faulted;
    }

    /// <summary>The result, once.</summary>
    /// <exception cref="InvalidOperationException">It was taken; or it is pending: a blocking wait for it is by a task.</exception>
    public TResult TakeResult(short token)
    {
        Check(token);
        if (!_isOpen || !IsCompleted)
        {
            throw Misuse.NoResult();
        }

        TResult? result = _result;
        _result = default;
        _isOpen = false;
        _error?.Throw();
        return result!;
    }

    /// <summary>Takes the result of a completed operation for nobody. False: it is not completed.</summary>
    public bool TryForget(out TResult? result)
    {
        bool isCompleted = IsCompleted;
        result = isCompleted ? _result : default;
        if (isCompleted)
        {
            _result = default;
            _isOpen = false;
        }

        return isCompleted;
    }

    /// <summary>
    /// Attaches the continuation. The scheduling context is not used, as in a Pipe made with useSynchronizationContext: false.
    /// Not none: it came late, and the caller has it scheduled.
    /// </summary>
    public Continuation OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        Check(token);
        ExecutionContext? context = (flags & ValueTaskSourceOnCompletedFlags.FlowExecutionContext) != 0 ? ExecutionContext.Capture() : null;
        Action<object?>? attached = Volatile.Read(ref _continuation);
        if (attached is null)
        {
            _context = context;
            _state = state;
            attached = Interlocked.CompareExchange(ref _continuation, continuation, null);
        }

        if (attached is not null && attached != s_completed)
        {
            throw Misuse.AwaitedTwice();
        }

        return new Continuation(attached is null ? null : continuation, state, context);
    }

    private readonly void Check(short token)
    {
        if (token != Version)
        {
            throw Misuse.AwaitedTwice();
        }
    }
}
