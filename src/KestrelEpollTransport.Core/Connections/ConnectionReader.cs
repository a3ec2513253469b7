using System.Diagnostics;
using System.IO.Pipelines;
using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;
using KestrelEpollTransport.Locking;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The reading end of a connection: a <see cref="PipeReader"/> that receives from the socket into pooled blocks when it
/// is read from. Ahead of that it receives only when waiting could lose or block something.
/// </summary>
/// <remarks>
/// <para>A read that finds nothing publishes its wait before it returns. Whoever ends the wait (the loop with readiness, a cancellation, the
/// end of the connection) owns the reading side and has scheduling resume the reader, which receives, completes the read,
/// and so runs the application up to its next wait.</para>
/// <para><b>Receiving ahead</b>, up to MaxReadBufferSize: when the peer has ended, as what it sent is received before its end is told; while a
/// flush waits for room, as the peer may do the same; and when input was left for <see cref="UnreadInput.LimitMs"/>, until the
/// application reads again.</para>
/// <para>As with any pipe, one thread reads at a time; <see cref="CancelPendingRead"/> and <see cref="Complete"/> are for any
/// thread.</para>
/// </remarks>
internal sealed partial class ConnectionReader : PipeReader, IValueTaskSource<ReadResult>, IConnectionEnd
{
    /// <summary>Whether AdvanceTo may follow; and whether it has to before another read.</summary>
    private enum Reading : byte
    {
        No,
        Tentative,
        Yes,
    }

    // Immutable.
    private readonly EpollConnection _connection;

    // Shared words.
    private ReadState _state;
    private PendingOperation<ReadResult> _operation;
    private volatile bool _isBehind;
    private volatile int _failed = -1;
    private bool _endIsNews;
    private bool _pauseIsLogged;

    /// <summary>Null while open. Written once.</summary>
    private volatile ReaderEnd? _end;

    // The owner of the reading side.
    private ReceiveBuffer _buffer;
    private Reading _reading;
    private int _minimum;
    private long _budget;
    private int _piece;
    private long _lastInputMs = -LatelyMs;
    private bool _started;
    private volatile bool _isPaused;
    private int _served;

    public ConnectionReader(EpollConnection connection)
    {
        _connection = connection;
        _buffer = new ReceiveBuffer(this);
    }

    /// <summary>How many reads the present dispatch has served. For the dispatch's thread.</summary>
    public int Served => _served;

    public bool IsCompleted => _state.IsCompleted;

    public bool HasHungUp => _state.HasHungUp;

    /// <summary>How many bytes it has received. Any thread.</summary>
    public long Received => _buffer.Received;

    /// <summary>Whether it receives no more until the application has read. A hint.</summary>
    public bool IsPaused => _isPaused;

    /// <summary>Whether something came so lately that more may be on its way. A hint.</summary>
    public bool HadInputLately => Environment.TickCount64 - Volatile.Read(ref _lastInputMs) < LatelyMs;

    /// <summary>Whether the application leaves input unread for so long that it is received ahead.</summary>
    public bool IsBehind => _isBehind;

    private long Room => _connection.Shared.MaxReadBufferSize - _buffer.Unexamined;

    /// <summary>Readiness from the loop. True: the caller ended a wait and resumes this reader.</summary>
    public bool SetReady(int sticky) => _state.SetReady(sticky);

    /// <summary>Decides how reads end; the first end stays. The owner of the reading side; or any thread, for an end at once.</summary>
    public void End(ReaderEnd end)
    {
        if (Interlocked.CompareExchange(ref _end, end, null) is null)
        {
            ResumeIf(_state.End());
        }
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) =>
        ReadCoreAsync(0, cancellationToken);

    protected override ValueTask<ReadResult> ReadAtLeastAsyncCore(int minimumSize, CancellationToken cancellationToken) =>
        ReadCoreAsync(minimumSize, cancellationToken);

    public override bool TryRead(out ReadResult result)
    {
        Check(_state.TryEnter());
        try
        {
            if (!TryDropUntaken() || _reading == Reading.Yes)
            {
                throw Misuse.AlreadyReading();
            }

            _minimum = 0;
            _budget = BytesPerTurn;
            if (TryProduce(out result, out ExceptionDispatchInfo? error))
            {
                error?.Throw();
                OnServed();
                return true;
            }

            _reading = Reading.Tentative;
            return false;
        }
        finally
        {
            LeaveCall();
        }
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        Check(_state.TryEnter());
        try
        {
            if (_reading == Reading.No)
            {
                throw Misuse.NotReading();
            }

            _buffer.Advance(consumed, examined);
            _reading = Reading.No;
            TryDropUntaken();
            if (_isPaused && Room > 0)
            {
                _connection.OnUnreadLeft(isUrgent: _state.HasHungUp);
            }
        }
        finally
        {
            LeaveCall();
        }
    }

    public override void CancelPendingRead()
    {
        bool endedWait = _state.Cancel();
        if (endedWait && !_operation.IsAwaited)
        {
            // Nothing runs with it: as on a Pipe, who asks next is told.
            _connection.ResumeLate(CompletePendingRead(isTold: true), isRead: true);
        }
        else
        {
            ResumeIf(endedWait);
        }
    }

    public override void Complete(Exception? exception = null)
    {
        // The exception has no addressee: there is no writer at the other end of this pipe, but the kernel.
        bool isFirst = _state.Complete(out bool resumes, out bool frees);
        if (frees)
        {
            FreeBuffer();
        }

        ResumeIf(resumes);
        if (isFirst)
        {
            _connection.Apply(LifetimeEvent.InputCompleted);
        }
    }

    /// <summary>The pending read, if there is one, blocks the thread that would end it, and fails. Any thread.</summary>
    public bool TryFailWait()
    {
        int number = _operation.Number;
        if (!_operation.IsAwaited)
        {
            // Completed perhaps, and what continues with it is on its way to the loop.
            return _operation.IsOpen;
        }

        _failed = number;
        if (_state.SetReady())
        {
            // Not where scheduling wants it: that is what is blocked.
            _connection.Dispatch.OnReady(Stopwatch.GetTimestamp());
            Uninterrupted.QueueToPool(this);
        }

        return true;
    }

    EpollConnection IConnectionEnd.Connection => _connection;

    bool IConnectionEnd.BeginsDispatch => true;

    /// <summary>The resume, which owns the reading side: receives and completes the pending read, which runs the application.</summary>
    void IConnectionEnd.Resume(long began)
    {
        _budget = BytesPerTurn;
        Continuation continuation = CompletePendingRead(isTold: false);
        if (!continuation.IsNone)
        {
            _connection.Dispatch.Run(_connection, continuation, began);
        }
    }

    ReadResult IValueTaskSource<ReadResult>.GetResult(short token)
    {
        ReadResult result = _operation.TakeResult(token);
        if (result.IsCanceled || !_state.TakeCanceled())
        {
            return result;
        }

        // Cancelled since it was completed: as on a Pipe, before it is taken.
        _reading = Reading.Tentative;
        return new ReadResult(result.Buffer, isCanceled: true, result.IsCompleted);
    }

    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => _operation.GetStatus(token);

    void IValueTaskSource<ReadResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _connection.ResumeLate(_operation.OnCompleted(continuation, state, token, flags), isRead: true);

    private ValueTask<ReadResult> ReadCoreAsync(int minimum, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<ReadResult>(cancellationToken);
        }

        EnterRead entered = _state.TryEnter();
        if (entered == EnterRead.InUse ? _operation.IsOpen && minimum <= _minimum : entered == EnterRead.Entered && !TryDropUntaken())
        {
            // Pending, and not awaited: the second call gets the same read, as on a Pipe.
            if (entered == EnterRead.Entered)
            {
                LeaveCall();
            }

            return new ValueTask<ReadResult>(this, _operation.Version);
        }

        Check(entered);
        bool isFirst = !_started;
        bool produced;
        ReadResult result = default;
        try
        {
            if (_reading == Reading.Yes)
            {
                throw Misuse.AlreadyReading();
            }

            _minimum = minimum;
            if (!_connection.Dispatch.IsMine)
            {
                // One for each piece of a context, and elsewhere one for each read.
                int piece = ApplicationContext.PieceHere;
                _budget = piece == 0 || piece != _piece ? BytesPerTurn : _budget;
                _piece = piece;
            }

            // A connection's first read gives nothing by itself. Kestrel makes it on a thread-pool work item of
            // its own, and the first request's handler would run, and perhaps block, there: resumed, it runs
            // where scheduling wants it.
            _started = true;
            ExceptionDispatchInfo? error = null;
            produced = !isFirst && TryProduce(out result, out error);
            error?.Throw();
        }
        catch
        {
            LeaveCall();
            throw;
        }

        if (!produced)
        {
            return Wait(resumes: isFirst && _buffer.Unexamined > 0, cancellationToken);
        }

        OnServed();
        LeaveCall();
        return new ValueTask<ReadResult>(result);
    }

    // At once, in the call.
    private void OnServed()
    {
        _served++;
        if (!_connection.Dispatch.IsMine)
        {
            _connection.Dispatch.ForgetDelay();
        }
    }

    private ValueTask<ReadResult> Wait(bool resumes, CancellationToken cancellationToken)
    {
        // Everything of this read before its wait is published: from then on another thread may complete it.
        _operation.Begin();
        ValueTask<ReadResult> pending = new(this, _operation.Version);
        _operation.Register(static reader => ((ConnectionReader)reader!).FireToken(), this, cancellationToken);
        _connection.Dispatch.OnReaderWaits(_connection);
        if (resumes || !_state.TryWait())
        {
            // Something happened since we looked, or the look was not allowed: as if the wait had been ended.
            _connection.ResumeReader();
        }

        LogNews();
        return pending;
    }

    // The owner.
    private Continuation CompletePendingRead(bool isTold)
    {
        ReadResult result = default;
        ExceptionDispatchInfo? error = _failed == _operation.Number ? ExceptionDispatchInfo.Capture(Misuse.BlocksItsLoop()) : null;
        while (error is null && !_state.IsCompleted && !TryProduce(out result, out error))
        {
            if (_state.IsTokenFired)
            {
                error = ExceptionDispatchInfo.Capture(_operation.Canceled());
                break;
            }

            if (_budget <= 0 && _state.IsReady)
            {
                // Much is asked for, and much comes: everyone else first.
                _connection.ResumeReader();
                return default;
            }

            if (_state.TryWait())
            {
                LogNews();
                return default;
            }
        }

        if (_state.IsReady && _end is null && (error is not null || result.IsCanceled))
        {
            // Not looked at, and nobody will be told of it again.
            _connection.OnUnreadLeft(isUrgent: _state.HasHungUp || _connection.Writer.IsWaiting);
        }

        _operation.Unregister();
        _state.TakeTokenFired();
        _served = 1;
        if (Leave())
        {
            // Completed meanwhile: what was produced is freed.
            error = ExceptionDispatchInfo.Capture(Misuse.ReadingCompleted());
        }

        Continuation continuation = _operation.Complete(result, error, isTold);
        LogNews();
        return continuation;
    }

    // A result, or an error, without waiting, if there is one. The owner.
    private bool TryProduce(out ReadResult result, out ExceptionDispatchInfo? error)
    {
        result = default;
        error = null;
        _isBehind = false;
        bool isCanceled = _end is not { AtOnce: true } && _state.TakeCanceled();
        if (!isCanceled && !_buffer.HasEnough(_minimum) && (error = Receive(_minimum, ahead: false)) is not null)
        {
            return true;
        }

        // The end after the receive that may have brought it.
        ReaderEnd? end = _end;
        bool produces = isCanceled || end == ReaderEnd.EndOfStream || _buffer.HasEnough(_minimum);
        error = end is { AtOnce: true } || !produces ? end?.Failure : null;
        if (error is not null || !produces)
        {
            return error is not null;
        }

        result = new ReadResult(_buffer.Sequence, isCanceled, isCompleted: end == ReaderEnd.EndOfStream);
        _reading = isCanceled ? Reading.Tentative : Reading.Yes;
        return true;
    }

    // The result of a read that was not awaited: what it gave is still there, and its cancellation is for the read that follows. False: it
    // is about to be completed. The owner.
    private bool TryDropUntaken()
    {
        if (!_operation.IsOpen)
        {
            return true;
        }

        if (!_operation.TryForget(out ReadResult untaken))
        {
            return false;
        }

        _reading = Reading.No;
        if (untaken.IsCanceled)
        {
            _state.Cancel();
        }

        return true;
    }

    private void FreeBuffer()
    {
        Debug.Assert(_state.IsCompleted, "Only a completed reader frees its buffer.");
        _buffer.Free();
        if (_state.IsReady)
        {
            // Nobody will be told of it again.
            _connection.OnInputRefused();
        }
    }

    private void FireToken() => ResumeIf(_state.FireToken());

    private void ResumeIf(bool endedWait)
    {
        if (endedWait)
        {
            _connection.ResumeReader();
        }
    }

    private static void Check(EnterRead entered)
    {
        if (entered != EnterRead.Entered)
        {
            throw entered == EnterRead.Completed ? Misuse.ReadingCompleted() : Misuse.AlreadyReading();
        }
    }

    private void LeaveCall()
    {
        bool wasCompleted = Leave();
        LogNews();
        if (wasCompleted)
        {
            // What this call was about to return is in blocks that were just given back.
            throw Misuse.ReadingCompleted();
        }
    }
}
