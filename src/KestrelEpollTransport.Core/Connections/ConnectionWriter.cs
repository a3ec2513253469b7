using System.IO.Pipelines;
using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;
using KestrelEpollTransport.Buffers;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The writing end of a connection: a <see cref="PipeWriter"/> whose flush sends straight from the pooled blocks that
/// the application filled, on the caller's thread where it can.
/// </summary>
/// <remarks>
/// <para>A flush sends at once, or it only <i>marks</i>, so that what is produced together leaves together: in the connection's
/// own dispatch (the pieces of a response, and pipelined responses), and when flushes from elsewhere follow each
/// other closely (HTTP/2 frames). Marked bytes leave when the reader is about to wait, when the dispatch
/// returns, when <see cref="ConnectionShared.GatherBelow"/> bytes are queued, with a drain that is posted, or at the next look of the
/// watch: whichever comes first.</para>
/// <para><b>One lock</b> has everything but the tail that the caller fills: the queue, what is known of the kernel's room, the flush that
/// waits. Sends are made under it; they do not wait. Of the application only the pinning of its pool's memory runs under it: blocks are
/// rented and returned, the connection is told and continuations run outside (<see cref="Finish"/>).</para>
/// <para>One thread writes at a time; <see cref="CancelPendingFlush"/> and <see cref="Complete"/> are for any thread.</para>
/// </remarks>
internal sealed partial class ConnectionWriter(EpollConnection connection) : PipeWriter, IValueTaskSource<FlushResult>, IConnectionEnd, IWatchedFlush
{
    // Immutable.
    private readonly EpollConnection _connection = connection;
    private readonly Lock _lock = new();

    // Under the lock; what is volatile is looked at without it too.
    private SendQueue _queue;
    private volatile bool _isBlocked;
    private volatile bool _isMarked;
    private volatile bool _isClosed;
    private volatile bool _isCompleted;
    private volatile FlushWait _wait;
    private bool _isHeld;
    private bool _isSending;
    private bool _endsGracefully;
    private bool _isCanceled;
    private bool _tokenFired;
    private bool _isRefused;

    // Any thread.
    private int _watched;
    private long _turnBegan;

    // The caller of a flush, or the resume that its wait led to.
    private PendingOperation<FlushResult> _operation;
    private PostedDrain? _drain;

    private enum FlushWait
    {
        None,
        Waiting,  // A flush waits for room, or is about to give way.
        Ending,   // The wait is over, and the flush about to be completed.
    }

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => _queue.Uncommitted;

    /// <summary>How many bytes the kernel has taken. Any thread.</summary>
    public long Sent => _queue.Sent;

    /// <summary>Whether a flush waits for room. A hint.</summary>
    public bool IsWaiting => _wait == FlushWait.Waiting;

    private bool IsFull => _queue.Unsent >= _connection.Shared.MaxWriteBufferSize;

    // Who is known to block is off the loop, and keeps nobody on it waiting.
    private bool IsTurnOver => _queue.Sent - Volatile.Read(ref _turnBegan) >= _connection.Shared.FlushedPerTurn && _connection.Dispatch.Profile.RunsInline;

    private bool HasRoom => _queue.Unsent < _connection.Shared.ResumeFlushBelow;

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sizeHint);
        if (_isCompleted)
        {
            throw Misuse.WritingCompleted();
        }

        // Between the first GetMemory and the flush the tail is the caller's alone.
        if (_isHeld ? _queue.TryGetRoom(sizeHint, out Memory<byte> room) : TryHold(sizeHint, out room))
        {
            return room;
        }

        BufferSegment segment = _connection.Blocks.Rent(sizeHint);
        using (_lock.Hold())
        {
            if (!_isCompleted)
            {
                _isHeld = true;
                return _queue.Append(segment);
            }
        }

        segment.Release();
        throw Misuse.WritingCompleted();
    }

    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    public override void Advance(int bytes)
    {
        // Completed by someone else while the memory was out: its bytes are gone already.
        if (!(_isHeld ? _queue.TryAdvance(bytes) : bytes == 0) && !_isCompleted)
        {
            throw new ArgumentOutOfRangeException(nameof(bytes), bytes, "More bytes than the memory that was asked for has room for.");
        }
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<FlushResult>(cancellationToken);
        }

        // The connection's dispatch sends at its end, and the reader before it waits. One response is often several
        // flushes (Kestrel ends a chunked one with a flush of its own), and pipelined ones follow each other.
        bool isElsewhere = !_connection.Dispatch.IsMine;
        bool gathers = !isElsewhere || (_drain ??= new PostedDrain(this)).FollowsClosely();
        AfterSend after = default;
        FlushResult? result;
        bool isPending;
        using (_lock.Hold())
        {
            if (_isCompleted)
            {
                // As on a pipe: there is nothing to flush any more, and no harm in asking.
                return new ValueTask<FlushResult>(Result(isCanceled: false));
            }

            _queue.Commit();
            _isHeld = false;
            if (!gathers || _isClosed || _queue.Unsent >= _connection.Shared.GatherBelow)
            {
                Send(ref after);
            }
            else if (!_isBlocked)
            {
                Mark(ref after);
                after.PostsDrain = isElsewhere;
            }

            isPending = _wait != FlushWait.None;
            if (!isPending && _operation.IsOpen && _operation.TryForget(out FlushResult untaken))
            {
                // Its cancellation was for a flush that nobody awaited: as on a Pipe, the next one has it.
                _isCanceled |= untaken.IsCanceled;
            }

            result = _isCanceled || _isClosed || !(IsFull || IsTurnOver) ? Result(_isCanceled) : null;
            _isCanceled &= isPending;
        }

        Finish(after);
        return isPending ? new ValueTask<FlushResult>(this, _operation.Version)
            : result is { } known ? new ValueTask<FlushResult>(known)
            : Wait(cancellationToken);
    }

    public override void CancelPendingFlush() => Update(isCanceled: true);

    public override void Complete(Exception? exception = null)
    {
        AfterSend after = default;
        using (_lock.Hold())
        {
            if (_isCompleted)
            {
                return;
            }

            // With an exception nothing more is sent: it could be the last, and then told as a clean end.
            _isCompleted = true;
            _endsGracefully = exception is null && !_isClosed;
            _isClosed |= exception is not null;
            _queue.Commit();
            _isHeld = false;
            Send(ref after);
        }

        Finish(after);
        if (exception is not null)
        {
            _connection.OnWriterFailed(exception);
        }
    }

    /// <summary>Everyone else on the loop has had a turn. A hint, from any thread.</summary>
    public void BeginTurn() => Volatile.Write(ref _turnBegan, _queue.Sent);

    /// <summary>Sends what is marked. Any thread.</summary>
    public void SendMarked()
    {
        if (_isMarked)
        {
            Update();
        }
    }

    /// <summary>The kernel has room again. The loop.</summary>
    public void OnWritable()
    {
        if (_isBlocked)
        {
            Update(hasRoom: true);
        }
    }

    /// <summary>Nothing more will be sent: what is queued is discarded, and a flush that waits ends. Any thread.</summary>
    public void Close() => Update(isClosed: true);

    // Without the lock, as the watch must not wait. It clears the one and looks at the other; Mark does it the other way round.
    public bool IsDue()
    {
        Interlocked.Exchange(ref _watched, 0);
        return _isMarked;
    }

    public void SendDue() => SendMarked();

    /// <summary>Keeps others from sending, and so from being given the socket's error, until it is disposed of.</summary>
    public HeldLock HoldSends() => _lock.Hold();

    /// <summary>The flush that waits, if one does, blocks the thread that would end it, and fails. Any thread.</summary>
    public bool TryFailWait()
    {
        using (_lock.Hold())
        {
            if (_wait != FlushWait.Waiting || !_operation.IsAwaited)
            {
                return _wait == FlushWait.Ending || _operation.IsOpen;
            }

            _wait = FlushWait.Ending;
            _isRefused = true;
        }

        // Not where scheduling wants it: that is what is blocked.
        Uninterrupted.QueueToPool(this);
        return true;
    }

    EpollConnection IConnectionEnd.Connection => _connection;

    bool IConnectionEnd.BeginsDispatch => false;

    void IConnectionEnd.Resume(long began)
    {
        BeginTurn();
        Continuation continuation = CompletePendingFlush();
        if (!continuation.IsNone)
        {
            continuation.Run();
            _connection.Dispatch.Profile.End(began, 1, isPart: true);
        }
    }

    FlushResult IValueTaskSource<FlushResult>.GetResult(short token)
    {
        using (_lock.Hold())
        {
            return IsOpen(token) ? _operation.TakeResult(token) : Result(isCanceled: false);
        }
    }

    ValueTaskSourceStatus IValueTaskSource<FlushResult>.GetStatus(short token)
    {
        using (_lock.Hold())
        {
            return IsOpen(token) ? _operation.GetStatus(token) : ValueTaskSourceStatus.Succeeded;
        }
    }

    void IValueTaskSource<FlushResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _connection.ResumeLate(_operation.OnCompleted(continuation, state, token, flags), isRead: false);

    // Not open: another flush was begun since, which ended this one, whether or not somebody took its result. Under the lock, where an operation
    // that is open is not closed by others; and in this order, as the next one publishes its number before it is open.
    private bool IsOpen(short token) => _operation.IsOpen && token == _operation.Version;

    private bool TryHold(int sizeHint, out Memory<byte> room)
    {
        using (_lock.Hold())
        {
            _isHeld = !_isCompleted && !_queue.IsEmpty;
            return _queue.TryGetRoom(sizeHint, out room) && _isHeld;
        }
    }

    private ValueTask<FlushResult> Wait(CancellationToken cancellationToken)
    {
        // Everything of this flush before its wait is published: from then on another thread may complete it.
        _operation.Begin();
        ValueTask<FlushResult> pending = new(this, _operation.Version);
        _operation.Register(static writer => ((ConnectionWriter)writer!).Update(tokenFired: true), this, cancellationToken);
        _wait = FlushWait.Waiting;
        Update(beginsWait: true);
        if (IsWaiting)
        {
            // The peer may wait for the same before it reads: what it has sent is received ahead.
            _connection.Reader.ReceiveAhead();
        }

        return pending;
    }

    private Continuation CompletePendingFlush()
    {
        _operation.Unregister();
        using (_lock.Hold())
        {
            Exception? error = _isRefused ? Misuse.BlocksItsLoop()
                : _tokenFired && !_isCanceled && !_isClosed && !HasRoom ? _operation.Canceled()
                : null;
            FlushResult result = Result(_isCanceled);
            _tokenFired = _isCanceled = _isRefused = false;
            _wait = FlushWait.None;
            return _operation.Complete(result, error is null ? null : ExceptionDispatchInfo.Capture(error), isTold: true);
        }
    }

    // Something happened that may end a wait, or let something be sent.
    private void Update(bool isCanceled = false, bool tokenFired = false, bool isClosed = false, bool hasRoom = false, bool beginsWait = false)
    {
        AfterSend after = new() { BeginsWait = beginsWait };
        using (_lock.Hold())
        {
            _isCanceled |= isCanceled;
            _tokenFired |= tokenFired;
            _isClosed |= isClosed;
            if (isCanceled || tokenFired)
            {
                // No more than that: what a send has to tell may take a while, and who disposes of the token's registration waits for this.
                EndWait(ref after);
            }
            else
            {
                Send(ref after, hasRoom);
            }
        }

        Finish(after);
    }

    private FlushResult Result(bool isCanceled) => new(isCanceled, isCompleted: _isClosed);
}
