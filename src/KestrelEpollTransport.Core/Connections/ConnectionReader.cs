using System.Diagnostics;
using System.IO.Pipelines;
using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The reading end of a connection: a <see cref="PipeReader"/> that receives from the socket into pooled blocks when it
/// is read from, and never ahead of that.
/// </summary>
/// <remarks>
/// A read that finds nothing returns, and publishes <see cref="AwaitWord"/>'s Waiting when the caller attaches its
/// continuation: earlier, the loop could complete the read before the caller looks, and the caller would go on by itself on a
/// thread that scheduling did not choose. Whoever ends the wait (the loop with readiness, a cancellation, the
/// end of the connection) owes one resume: scheduling runs <see cref="Execute"/>, which receives, completes the read,
/// and so runs the application up to its next wait.
/// <para>As with any pipe, one thread reads at a time; <see cref="CancelPendingRead"/> and <see cref="Complete"/> are for any
/// thread.</para>
/// </remarks>
internal sealed class ConnectionReader : PipeReader, IValueTaskSource<ReadResult>, IResumable
{
    private enum Reading : byte
    {
        /// <summary>AdvanceTo has nothing to complete.</summary>
        No,

        /// <summary>A cancelled read: AdvanceTo may follow, and so may another read.</summary>
        Tentative,

        /// <summary>AdvanceTo has to follow.</summary>
        Yes,
    }

    // Immutable.
    private readonly EpollConnection _connection;

    // Shared words.
    private AwaitWord _word;
    private UseGate _gate;

    /// <summary>Null while open; then <see cref="EndOfStream"/> or the exception that every read throws. Written once.</summary>
    private object? _end;

    // The reading side: the caller of a pipe method inside the gate, or the resume that the caller's wait led to.
    private Receiver _receiver;
    private ManualResetValueTaskSourceCore<ReadResult> _source;
    private CancellationTokenRegistration _registration;
    private CancellationToken _token;
    private Reading _reading;
    private int _minimum;
    private bool _started;
    private bool _waiting;
    private bool _unpublished;
    private bool _polled;
    private int _served;

    public ConnectionReader(EpollConnection connection)
    {
        _connection = connection;
        _receiver = new Receiver();
    }

    /// <summary>The end of a stream whose every byte was received.</summary>
    private static object EndOfStream { get; } = new();

    /// <summary>How many reads the present dispatch has served. For the dispatch's thread.</summary>
    public int Served => _served;

    /// <summary>Whether readiness was told that no receive has answered yet.</summary>
    public bool MayHaveUnread => _word.IsReady;

    public bool IsCompleted => _gate.IsCompleted;

    public bool HasHungUp => _word.HasHungUp;

    /// <summary>Readiness from the loop. True: the caller ended a wait and owes a resume of this reader.</summary>
    public bool SetReady(int sticky) => _word.SetReady(sticky);

    /// <summary>Ends the reading for good; the first end wins. Null: end of stream. Any thread.</summary>
    public bool TryEnd(Exception? exception)
    {
        bool first = Interlocked.CompareExchange(ref _end, exception ?? EndOfStream, null) is null;
        if (first && _word.Close())
        {
            _connection.Resume(this);
        }

        return first;
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) =>
        ReadCoreAsync(0, cancellationToken);

    protected override ValueTask<ReadResult> ReadAtLeastAsyncCore(int minimumSize, CancellationToken cancellationToken) =>
        ReadCoreAsync(minimumSize, cancellationToken);

    public override bool TryRead(out ReadResult result)
    {
        Enter();
        try
        {
            BeginRead();
            _minimum = 0;
            bool produced = TryProduce(mayReceive: true, out result);
            _served += produced ? 1 : 0;
            return produced;
        }
        finally
        {
            LeaveRead();
        }
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        Enter();
        try
        {
            if (_reading == Reading.No || _waiting)
            {
                ThrowHelper.NotReading();
            }

            _reading = Reading.No;
            _receiver.Advance(consumed, examined);
        }
        finally
        {
            Leave();
        }
    }

    public override void CancelPendingRead()
    {
        if (_word.Cancel())
        {
            _connection.Resume(this);
        }
    }

    public override void Complete(Exception? exception = null)
    {
        // The exception has no addressee: there is no writer at the other end of this pipe, but the kernel.
        if (_gate.Complete())
        {
            Free();
        }

        if (_word.Close())
        {
            _connection.Resume(this);
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
            _receiver.RenewBudget();
            CompletePendingRead(began);
        }
#pragma warning disable CA1031 // Ours or a continuation's: it ends this connection, not the thread and its other connections.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _connection.OnFault(exception);
        }
    }

    ReadResult IValueTaskSource<ReadResult>.GetResult(short token) => _source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token)
    {
        // An await asks once and then attaches its continuation. Who asks again polls, and must see it end.
        if (_unpublished && _polled)
        {
            PublishWait();
        }

        _polled = true;
        return _source.GetStatus(token);
    }

    void IValueTaskSource<ReadResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        // Looked at first. A wait that a poll published may be over by now; the continuation then goes to the thread
        // pool as soon as it is attached, and what is unpublished after that is the next read, which is not ours.
        bool publishes = _unpublished;

        // As a Pipe made with useSynchronizationContext: false: scheduling decides the thread, not the awaiting caller.
        _source.OnCompleted(continuation, state, token, flags & ~ValueTaskSourceOnCompletedFlags.UseSchedulingContext);
        if (publishes)
        {
            PublishWait();
        }
    }

    private ValueTask<ReadResult> ReadCoreAsync(int minimum, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<ReadResult>(cancellationToken);
        }

        Enter();
        try
        {
            BeginRead();
            _minimum = minimum;

            // A connection's first read receives nothing by itself. Kestrel makes it on a thread-pool work item of
            // its own, and the first request's handler would run, and perhaps block, there: resumed, it runs
            // where scheduling wants it.
            if (TryProduce(mayReceive: _started && (_receiver.HasBudget || !_connection.InOwnDispatch), out ReadResult result))
            {
                _served++;
                return new ValueTask<ReadResult>(result);
            }

            _started = true;
            _source.Reset();
            _token = cancellationToken;
            _polled = false;
            _unpublished = true;
            _waiting = true;
        }
        finally
        {
            LeaveRead();
        }

        ValueTask<ReadResult> pending = new(this, _source.Version);
        if (cancellationToken.CanBeCanceled)
        {
            _registration = cancellationToken.UnsafeRegister(static state => ((ConnectionReader)state!).FireToken(), this);
        }

        return pending;
    }

    // From here on another thread may run the resume.
    private void PublishWait()
    {
        _unpublished = false;
        _connection.OnReaderWaits();
        if (!_word.TryWait())
        {
            // Something happened since we looked, or the look was not allowed: then the resume is ours to owe.
            _connection.Resume(this);
        }
    }

    private void CompletePendingRead(long began)
    {
        ReadResult result = default;
        Exception? exception = null;
        while (!TryCompleteOnce(out result, out exception))
        {
            if (_word.TryWait())
            {
                return;
            }
        }

        // Waits for a callback that runs at this moment, so that it can't end the next wait.
        _registration.Dispose();
        _registration = default;
        _word.TakeTokenFired();
        _token = default;
        _waiting = false;
        _served = 1;
        _connection.BeginDispatch(began);
        if (exception is null)
        {
            _source.SetResult(result);
        }
        else
        {
            _source.SetException(exception);
        }

        _connection.EndDispatch();
    }

    private bool TryCompleteOnce(out ReadResult result, out Exception? exception)
    {
        result = default;
        exception = null;
        if (!TryEnterForResume())
        {
            exception = ThrowHelper.ReadingCompletedException();
            return true;
        }

        bool produced;
        try
        {
            produced = TryProduce(mayReceive: true, out result);
        }
#pragma warning disable CA1031 // What a read throws belongs to whoever awaits it.
        catch (Exception thrown)
#pragma warning restore CA1031
        {
            exception = thrown;
            produced = true;
        }

        _connection.OnReaderLooked();
        if (_gate.Leave())
        {
            // Completed meanwhile: what was produced is freed.
            Free();
            exception = ThrowHelper.ReadingCompletedException();
            return true;
        }

        if (!produced && _word.IsTokenFired)
        {
            exception = new OperationCanceledException(_token);
            return true;
        }

        return produced;
    }

    /// <summary>A result without waiting, if there is one. Throws what ended the connection, if an exception did.</summary>
    private bool TryProduce(bool mayReceive, out ReadResult result)
    {
        ThrowIfFailed();
        if (_word.TakeCanceled())
        {
            result = new ReadResult(_receiver.Sequence, isCanceled: true, isCompleted: IsAtEnd);
            _reading = Reading.Tentative;
            return true;
        }

        if (!_receiver.HasEnough(_minimum) && mayReceive)
        {
            _receiver.ReceiveWhileReady(_connection, ref _word, _minimum);
            ThrowIfFailed();
        }

        bool ended = IsAtEnd;
        if (!ended && !_receiver.HasEnough(_minimum))
        {
            result = default;
            return false;
        }

        result = new ReadResult(_receiver.Sequence, isCanceled: false, isCompleted: ended);
        _reading = Reading.Yes;
        return true;
    }

    private bool IsAtEnd => ReferenceEquals(Volatile.Read(ref _end), EndOfStream);

    private void ThrowIfFailed()
    {
        if (Volatile.Read(ref _end) is Exception exception)
        {
            ExceptionDispatchInfo.Throw(exception);
        }
    }

    private void FireToken()
    {
        if (_word.FireToken())
        {
            _connection.Resume(this);
        }
    }

    private void BeginRead()
    {
        if (_waiting || _reading == Reading.Yes)
        {
            ThrowHelper.AlreadyReading();
        }
    }

    private void Enter()
    {
        if (!_gate.TryEnter())
        {
            if (_gate.IsCompleted)
            {
                ThrowHelper.ReadingCompleted();
            }

            ThrowHelper.AlreadyReading();
        }
    }

    // A misuse (AdvanceTo while a read is pending) may be inside for a moment; it waits for nothing.
    private bool TryEnterForResume()
    {
        SpinWait spin = default;
        while (!_gate.TryEnter())
        {
            if (_gate.IsCompleted)
            {
                return false;
            }

            spin.SpinOnce();
        }

        return true;
    }

    private void Leave()
    {
        if (_gate.Leave())
        {
            Free();
        }
    }

    private void LeaveRead()
    {
        if (_gate.Leave())
        {
            Free();

            // What this call was about to return is in blocks that were just given back.
            ThrowHelper.ReadingCompleted();
        }
    }

    private void Free()
    {
        Debug.Assert(_gate.IsCompleted, "Only a completed reader frees its buffer.");
        _receiver.Free();
    }
}
