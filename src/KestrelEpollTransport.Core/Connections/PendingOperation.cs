using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;

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
/// completed      Complete            late                OnCompleted, whose caller has it scheduled
/// </code>
/// <para>Attaching and completing are one compare-exchange each on the slot: one of the two sees the other. A continuation that comes late
/// never runs on the thread that attached it.</para>
/// <para>An operation is <i>open</i> from its beginning until somebody has taken its result. To begin another one meanwhile is no
/// mistake: as on a <see cref="System.IO.Pipelines.Pipe"/>, the second call gets the same operation, and its result may be taken again
/// until the next one begins.</para>
/// </remarks>
internal struct PendingOperation<TResult>
{
    private static readonly Action<object?> s_completed = static _ => { };

    private Action<object?>? _continuation;
    private Action<object?>? _late;
    private object? _state;
    private ExecutionContext? _context;
    private ExceptionDispatchInfo? _error;
    private TResult? _result;
    private volatile bool _open;
    private bool _wasAsked;
    private short _version;

    /// <summary>To make a <see cref="ValueTask{TResult}"/> of it.</summary>
    public readonly short Version => _version;

    /// <summary>Whether it was begun and nobody has taken the result.</summary>
    public readonly bool IsOpen => _open;

    private readonly bool IsCompleted => ReferenceEquals(Volatile.Read(in _continuation), s_completed);

    /// <summary>A new operation, which is pending. Who has not taken the result of the one before gets this one's.</summary>
    public void Begin()
    {
        _version += _open ? (short)0 : (short)1;
        _late = null;
        _state = null;
        _context = null;
        _error = null;
        _result = default;
        _open = true;
        _wasAsked = false;
        Volatile.Write(ref _continuation, null);
    }

    /// <summary>Completes the operation. What it returns is the caller's to run.</summary>
    public Continuation Complete(TResult? result, ExceptionDispatchInfo? error)
    {
        _result = result;
        _error = error;
        return new Continuation(Interlocked.Exchange(ref _continuation, s_completed), _state, _context);
    }

    /// <summary>A continuation that was attached after the completion; once.</summary>
    public Continuation TakeLate()
    {
        Continuation late = new(_late, _state, _context);
        _late = null;
        return late;
    }

    /// <summary>
    /// Pending to the first who asks: an await asks once, and would go on by itself, on a thread that scheduling did not choose, if
    /// the operation was completed since. Its continuation then comes late. Who asks again is told.
    /// </summary>
    public ValueTaskSourceStatus GetStatus(short token)
    {
        Check(token);
        if (!_wasAsked)
        {
            _wasAsked = true;
            return ValueTaskSourceStatus.Pending;
        }

        return !IsCompleted ? ValueTaskSourceStatus.Pending
            : _error is null ? ValueTaskSourceStatus.Succeeded
            : _error.SourceException is OperationCanceledException ? ValueTaskSourceStatus.Canceled
            : ValueTaskSourceStatus.Faulted;
    }

    /// <exception cref="InvalidOperationException">It is pending: a blocking wait for it is by a task.</exception>
    public TResult GetResult(short token)
    {
        Check(token);
        if (!IsCompleted)
        {
            throw new InvalidOperationException("The operation is pending. To block until it ends, use AsTask().");
        }

        _open = false;
        _error?.Throw();
        return _result!;
    }

    /// <summary>
    /// Attaches the continuation. The scheduling context is not used, as in a Pipe made with useSynchronizationContext: false.
    /// True: it came late, and the caller has it scheduled.
    /// </summary>
    public bool OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        Check(token);
        if (_late is not null || (Volatile.Read(ref _continuation) is { } attached && attached != s_completed))
        {
            ThrowHelper.AwaitedTwice();
        }

        _context = (flags & ValueTaskSourceOnCompletedFlags.FlowExecutionContext) != 0 ? ExecutionContext.Capture() : null;
        _state = state;
        Action<object?>? before = Interlocked.CompareExchange(ref _continuation, continuation, null);
        if (before is not null)
        {
            _late = continuation;
        }

        return before is not null;
    }

    private readonly void Check(short token)
    {
        if (token != _version)
        {
            ThrowHelper.AwaitedTwice();
        }
    }
}

/// <summary>What runs when an operation is completed; none if nobody awaits it yet.</summary>
internal readonly struct Continuation(Action<object?>? action, object? state, ExecutionContext? context)
{
    public bool IsNone => action is null;

    /// <summary>Runs it, in the execution context of who attached it if that was asked for.</summary>
    public void Run()
    {
        if (context is null)
        {
            action!(state);
        }
        else
        {
            ExecutionContext.Run(context, static boxed => ((Continuation)boxed!).RunHere(), this);
        }
    }

    private void RunHere() => action!(state);
}
