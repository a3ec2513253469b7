using System.Diagnostics;
using System.IO.Pipelines;
using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;
using KestrelEpollTransport.Diagnostics;
using KestrelEpollTransport.Locking;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The reading end of a connection: a <see cref="PipeReader"/> that receives from the socket into pooled blocks when it
/// is read from. Ahead of that it receives only when waiting could lose or block something.
/// </summary>
/// <remarks>
/// <para>A read that finds nothing publishes its wait before it returns. Whoever ends the wait (the loop with readiness, a cancellation, the
/// end of the connection) owns the reading side and has scheduling run <see cref="Execute"/>, which receives, completes the read,
/// and so runs the application up to its next wait.</para>
/// <para><b>Receiving ahead</b>, up to MaxReadBufferSize: when the peer has ended, as what it sent is received before its end is told; while a
/// flush waits for room, as the peer may do the same; and when input was left for <see cref="EpollConnection.UnreadLimitMs"/>, until the
/// application reads again.</para>
/// <para>As with any pipe, one thread reads at a time; <see cref="CancelPendingRead"/> and <see cref="Complete"/> are for any
/// thread.</para>
/// </remarks>
internal sealed class ConnectionReader : PipeReader, IValueTaskSource<ReadResult>, IResumable
{
    /// <summary>How many receives, and bytes, one dispatch or one turn of receiving ahead may take.</summary>
    private const int ReceivesPerTurn = 16;
    private const long BytesPerTurn = 512 * 1024;

    private enum Reading : byte
    {
        /// <summary>AdvanceTo has nothing to complete.</summary>
        No,

        /// <summary>A cancelled read, or a TryRead that found nothing: AdvanceTo may follow, and so may another read.</summary>
        Tentative,

        /// <summary>AdvanceTo has to follow.</summary>
        Yes,
    }

    // Immutable.
    private readonly EpollConnection _connection;

    // Shared words.
    private ReadState _state;
    private PendingOperation<ReadResult> _operation;
    private volatile bool _isBehind;

    /// <summary>
    /// Null while open; then <see cref="EndOfStream"/>; an <see cref="ExceptionDispatchInfo"/>, which every read throws; or a
    /// <see cref="ReadOutFailure"/>, which every read throws that finds nothing more in the buffer. Written once.
    /// </summary>
    private object? _end;

    // The owner of the reading side.
    private ReceiveBuffer _buffer;
    private CancellationTokenRegistration _registration;
    private CancellationToken _token;
    private Reading _reading;
    private int _minimum;
    private int _receivesLeft;
    private long _bytesLeft;
    private bool _started;
    private bool _isPaused;
    private int _served;

    public ConnectionReader(EpollConnection connection)
    {
        _connection = connection;
        _buffer = new ReceiveBuffer(this);
    }

    /// <summary>The end of a stream whose every byte was received.</summary>
    private static object EndOfStream { get; } = new();

    /// <summary>How many reads the present dispatch has served. For the dispatch's thread.</summary>
    public int Served => _served;

    public bool IsCompleted => _state.IsCompleted;

    /// <summary>Whether the application waits in a read. A hint.</summary>
    public bool IsWaiting => _state.IsWaiting;

    /// <summary>Whether the application leaves input unread for so long that it is received ahead.</summary>
    public bool IsBehind => _isBehind;

    private bool HasBudget => _receivesLeft > 0 && _bytesLeft > 0;

    private long Room => _connection.Shared.MaxReadBufferSize - _buffer.Unexamined;

    /// <summary>Readiness from the loop. True: the caller ended a wait and resumes this reader.</summary>
    public bool SetReady(int sticky) => _state.SetReady(sticky);

    /// <summary>The peer's FIN: reads end when the buffer is empty. The owner of the reading side.</summary>
    public void EndCleanly() => End(EndOfStream);

    /// <summary>The peer's reset: reads fail when the buffer is empty. The owner of the reading side.</summary>
    public void EndReadOut(ExceptionDispatchInfo failure) => End(new ReadOutFailure(failure));

    /// <summary>Our own end: every read fails from now on. Any thread; the first end stays.</summary>
    public void Fail(ExceptionDispatchInfo failure) => End(failure);

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) =>
        ReadCoreAsync(0, cancellationToken);

    protected override ValueTask<ReadResult> ReadAtLeastAsyncCore(int minimumSize, CancellationToken cancellationToken) =>
        ReadCoreAsync(minimumSize, cancellationToken);

    public override bool TryRead(out ReadResult result)
    {
        Enter();
        bool produced;
        ExceptionDispatchInfo? error;
        try
        {
            BeginRead();
            _minimum = 0;
            RenewBudget();
            produced = TryProduce(mayReceive: true, out result, out error);
            if (!produced && _reading == Reading.No)
            {
                _reading = Reading.Tentative;
            }

            _served += produced ? 1 : 0;
        }
        finally
        {
            LeaveCall();
        }

        error?.Throw();
        return produced;
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        Enter();
        try
        {
            if (_reading == Reading.No)
            {
                ThrowHelper.NotReading();
            }

            _buffer.Advance(consumed, examined);
            _reading = Reading.No;
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
        if (_state.Cancel())
        {
            _connection.Resume(this);
        }
    }

    public override void Complete(Exception? exception = null)
    {
        // The exception has no addressee: there is no writer at the other end of this pipe, but the kernel.
        CompleteRead outcome = _state.Complete();
        if ((outcome & CompleteRead.Free) != 0)
        {
            _buffer.Free();
        }

        if ((outcome & CompleteRead.Resume) != 0)
        {
            _connection.Resume(this);
        }

        if ((outcome & CompleteRead.First) != 0)
        {
            _connection.OnInputCompleted();
        }
    }

    /// <summary>Receives what the application does not read, or leaves it to the owner of the reading side. Any thread that may receive.</summary>
    /// <param name="wasLeft">It was left for too long: from now on it is received at once, until the application reads again.</param>
    public void ReceiveAhead(bool wasLeft = false)
    {
        if (wasLeft && _state.IsReady)
        {
            _isBehind = true;
        }

        if (_state.TryBeginAhead())
        {
            ReceiveTurnAhead();
            Leave();
        }
    }

    ref DispatchProfile IResumable.Profile => ref _connection.Profile;

    public void OnLoop() => _connection.ResumeFromLoop(this);

    public void OnHandedOff(bool isBlocked) => _connection.OnHandedOff(isBlocked);

    public bool TryLogHandOff(int loop, TimeSpan blocked) => _connection.TryLogHandOff(loop, blocked);

    /// <summary>The resume: receives and completes the pending read, which runs the application.</summary>
    public void Execute()
    {
        try
        {
            long began = _connection.Profile.Begin();
            Continuation late = _operation.TakeLate();
            if (!late.IsNone)
            {
                Dispatch(late, began);
            }
            else
            {
                RenewBudget();
                CompletePendingRead(began);
            }
        }
#pragma warning disable CA1031 // Ours or a continuation's: it ends this connection, not the thread and its other connections.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _connection.OnFault(exception);
        }
    }

    ReadResult IValueTaskSource<ReadResult>.GetResult(short token) => _operation.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => _operation.GetStatus(token);

    void IValueTaskSource<ReadResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        if (_operation.OnCompleted(continuation, state, token, flags))
        {
            _connection.Resume(this);
        }
    }

    private ValueTask<ReadResult> ReadCoreAsync(int minimum, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<ReadResult>(cancellationToken);
        }

        EnterRead entered = _state.TryEnter();
        if (entered == EnterRead.InUse && _operation.IsOpen)
        {
            // Pending, and not awaited: the second call gets the same read, as on a Pipe.
            return new ValueTask<ReadResult>(this, _operation.Version);
        }

        Check(entered);
        bool entersWait = false;
        try
        {
            if (_operation.IsOpen)
            {
                return new ValueTask<ReadResult>(this, _operation.Version);
            }

            BeginRead();
            _minimum = minimum;
            if (!_connection.InOwnDispatch)
            {
                RenewBudget();
            }

            // A connection's first read receives nothing by itself. Kestrel makes it on a thread-pool work item of
            // its own, and the first request's handler would run, and perhaps block, there: resumed, it runs
            // where scheduling wants it.
            if (TryProduce(mayReceive: _started, out ReadResult result, out ExceptionDispatchInfo? error))
            {
                _served++;
                return error is null ? new ValueTask<ReadResult>(result) : throw Rethrow(error);
            }

            _started = true;
            entersWait = true;
        }
        finally
        {
            if (!entersWait)
            {
                LeaveCall();
            }
        }

        return Wait(cancellationToken);
    }

    private ValueTask<ReadResult> Wait(CancellationToken cancellationToken)
    {
        // Everything of this read before its wait is published: from then on another thread may complete it.
        _operation.Begin();
        ValueTask<ReadResult> pending = new(this, _operation.Version);
        if (cancellationToken.CanBeCanceled)
        {
            _token = cancellationToken;
            _registration = cancellationToken.UnsafeRegister(static state => ((ConnectionReader)state!).FireToken(), this);
        }

        _connection.OnReaderWaits();
        if (!_state.TryWait())
        {
            // Something happened since we looked, or the look was not allowed: as if the wait had been ended.
            _connection.Resume(this);
        }

        return pending;
    }

    // The owner.
    private void CompletePendingRead(long began)
    {
        ReadResult result;
        ExceptionDispatchInfo? error;
        while (!TryCompleteOnce(out result, out error))
        {
            if (!HasBudget && _state.IsReady)
            {
                // Much is asked for, and much comes: everyone else first.
                _connection.Resume(this);
                return;
            }

            if (_state.TryWait())
            {
                return;
            }
        }

        // Waits for a callback that runs at this moment, so that it can't end the next wait.
        Uninterrupted.Dispose(_registration);
        _registration = default;
        _state.TakeTokenFired();
        _token = default;
        _served = 1;
        if (Leave())
        {
            // Completed meanwhile: what was produced is freed.
            error = ExceptionDispatchInfo.Capture(ThrowHelper.ReadingCompletedException());
        }

        Continuation continuation = _operation.Complete(result, error);
        if (!continuation.IsNone)
        {
            Dispatch(continuation, began);
        }
    }

    private void Dispatch(Continuation continuation, long began)
    {
        _connection.BeginDispatch(began);
        continuation.Run();
        _connection.EndDispatch();
    }

    private bool TryCompleteOnce(out ReadResult result, out ExceptionDispatchInfo? error)
    {
        result = default;
        error = null;
        try
        {
            if (_state.IsCompleted || TryProduce(mayReceive: true, out result, out error))
            {
                return true;
            }
        }
#pragma warning disable CA1031 // What a read throws belongs to whoever awaits it.
        catch (Exception thrown)
#pragma warning restore CA1031
        {
            error = ExceptionDispatchInfo.Capture(thrown);
            return true;
        }

        if (_state.IsTokenFired)
        {
            error = ExceptionDispatchInfo.Capture(new OperationCanceledException(_token));
            return true;
        }

        return false;
    }

    /// <summary>A result without waiting, if there is one. The owner.</summary>
    private bool TryProduce(bool mayReceive, out ReadResult result, out ExceptionDispatchInfo? error)
    {
        _isBehind = false;
        result = default;
        if (HasFailed(out error))
        {
            return true;
        }

        if (_state.TakeCanceled())
        {
            result = new ReadResult(_buffer.Sequence, isCanceled: true, isCompleted: IsAtEnd);
            _reading = Reading.Tentative;
            return true;
        }

        if (!_buffer.HasEnough(_minimum) && mayReceive)
        {
            ReceiveWhileReady(_minimum, ahead: false);
            if (HasFailed(out error))
            {
                return true;
            }
        }

        bool ended = IsAtEnd;
        if (ended || _buffer.HasEnough(_minimum))
        {
            result = new ReadResult(_buffer.Sequence, isCanceled: false, isCompleted: ended);
            _reading = Reading.Yes;
            return true;
        }

        error = (Volatile.Read(ref _end) as ReadOutFailure)?.Failure;
        return error is not null;
    }

    // Until there is enough, nothing is left to receive, or the budget is used up. After a hang-up it goes on to the end, so that the
    // last bytes and the end of the stream come in one result, as they do from a pipe.
    private void ReceiveWhileReady(int minimum, bool ahead)
    {
        bool filled = false;
        while (HasBudget && _state.IsReady && Volatile.Read(ref _end) is null && (ahead || !_buffer.HasEnough(minimum) || _state.HasHungUp))
        {
            // The application has asked for this many: the bound must not become a deadlock.
            long room = Math.Max(Room, minimum - _buffer.Buffered);
            if (room <= 0)
            {
                break;
            }

            if (_isPaused)
            {
                _isPaused = false;
                ConnectionLog.Resume(_connection.Shared.Logger, _connection);
            }

            filled = ReceiveOnce(room);
        }

        if (!_state.IsReady || Volatile.Read(ref _end) is not null)
        {
            return;
        }

        if (Room <= 0)
        {
            if (!_isPaused)
            {
                _isPaused = true;
                ConnectionLog.Pause(_connection.Shared.Logger, _connection);
            }
        }
        else if (filled)
        {
            // Nobody will be told of it again. After a hang-up, or in a turn ahead, somebody has to go on.
            _connection.OnUnreadLeft(isUrgent: ahead || _state.HasHungUp);
        }
    }

    // True: all room that was offered is used, or a short count proves nothing, so that there may be more.
    private bool ReceiveOnce(long room)
    {
        // Before the receive: what arrives from here on sets it again.
        _state.ClearReady();
        if (!_connection.TryEnterDescriptor(out int descriptor))
        {
            // Closed, and so ended, which the reader looks at next.
            return false;
        }

        IoResult received;
        bool filled;
        try
        {
            received = _buffer.Receive(_connection.Blocks, descriptor, room, out filled);
        }
        catch
        {
            // The application's memory pool failed. What is there to receive still is.
            _state.SetReady();
            throw;
        }
        finally
        {
            _connection.LeaveDescriptor();
        }

        _receivesLeft--;
        if (received.Value > 0)
        {
            _bytesLeft -= received.Value;

            // On TCP a short count proves that the queue is empty, unless urgent data split it or the end is behind it.
            if (filled || !_connection.ShortCountsProve || !_state.TrustsShortCounts)
            {
                _state.SetReady();
            }

            return filled || !_state.TrustsShortCounts;
        }

        if (received.Value == 0)
        {
            _connection.OnEndReceived();
        }
        else if (!received.WouldBlock)
        {
            _connection.OnReceiveFailed(received.Errno);
        }

        return false;
    }

    private void ReceiveTurnAhead()
    {
        RenewBudget();
        try
        {
            ReceiveWhileReady(minimum: 0, ahead: true);
        }
#pragma warning disable CA1031 // The application's memory pool failed. Its next read meets the same, and may tell of it.
        catch (Exception)
#pragma warning restore CA1031
        {
            if (_state.HasHungUp)
            {
                _connection.OnInputRefused();
            }
        }
    }

    private void RenewBudget()
    {
        _receivesLeft = ReceivesPerTurn;
        _bytesLeft = BytesPerTurn;
    }

    private bool IsAtEnd => ReferenceEquals(Volatile.Read(ref _end), EndOfStream);

    private bool HasFailed(out ExceptionDispatchInfo? error)
    {
        error = Volatile.Read(ref _end) as ExceptionDispatchInfo;
        return error is not null;
    }

    private void End(object end)
    {
        if (Interlocked.CompareExchange(ref _end, end, null) is null && _state.End())
        {
            _connection.Resume(this);
        }
    }

    private void FireToken()
    {
        if (_state.FireToken())
        {
            _connection.Resume(this);
        }
    }

    private void BeginRead()
    {
        if (_reading == Reading.Yes)
        {
            ThrowHelper.AlreadyReading();
        }
    }

    private void Enter() => Check(_state.TryEnter());

    private static void Check(EnterRead entered)
    {
        if (entered == EnterRead.Completed)
        {
            ThrowHelper.ReadingCompleted();
        }

        if (entered == EnterRead.InUse)
        {
            ThrowHelper.AlreadyReading();
        }
    }

    // The owner leaves; true: the reader was completed and its buffer is freed.
    private bool Leave()
    {
        while (true)
        {
            switch (_state.Leave())
            {
                case LeaveRead.ReceiveAhead:
                    ReceiveTurnAhead();
                    break;
                case LeaveRead.Free:
                    Debug.Assert(_state.IsCompleted, "Only a completed reader frees its buffer.");
                    _buffer.Free();
                    return true;
                default:
                    return false;
            }
        }
    }

    private void LeaveCall()
    {
        if (Leave())
        {
            // What this call was about to return is in blocks that were just given back.
            ThrowHelper.ReadingCompleted();
        }
    }

    [System.Diagnostics.CodeAnalysis.DoesNotReturn]
    private static Exception Rethrow(ExceptionDispatchInfo error)
    {
        error.Throw();
        return error.SourceException;
    }

    private sealed record ReadOutFailure(ExceptionDispatchInfo Failure);
}
