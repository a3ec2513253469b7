using System.Diagnostics;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;
using KestrelEpollTransport.Native;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The writing end of a connection: a <see cref="PipeWriter"/> whose flush sends straight from the pooled blocks that
/// the application filled, on the caller's thread where it can.
/// </summary>
/// <remarks>
/// A flush sends at once, or it only <i>marks</i>, so that what is produced together leaves together: while the
/// connection's own dispatch still has input to go through (pipelining), and when flushes from elsewhere follow
/// each other closely (HTTP/2 frames). Marked bytes leave when the reader is about to wait, when the dispatch
/// returns, when <see cref="GatherLimit"/> bytes are queued, with a drain that is posted to the loop, or at the next look
/// of the watch: whichever comes first.
/// <para>As with any pipe, one thread writes at a time; <see cref="CancelPendingFlush"/> and <see cref="Complete"/> are for any
/// thread. <see cref="SendWord"/> says who sends.</para>
/// </remarks>
internal sealed class ConnectionWriter : PipeWriter, IValueTaskSource<FlushResult>, IThreadPoolWorkItem, IWatchedFlush
{
    /// <summary>From this many queued bytes on a flush sends: a larger call gains nothing more.</summary>
    private const int GatherLimit = 32 * 1024;

    /// <summary>A flush that follows another one within this time is gathered.</summary>
    private static readonly long s_gatherWindow = Stopwatch.Frequency / 20_000;

    // Immutable.
    private readonly EpollConnection _connection;
    private readonly long _pauseAbove;
    private readonly long _resumeAt;

    // Shared words.
    private SendWord _word;
    private AwaitWord _room;
    private UseGate _gate;
    private SendQueue _queue;
    private volatile bool _completing;

    // The writing side: the caller of a pipe method inside the gate, or the resume that the caller's wait led to.
    private ManualResetValueTaskSourceCore<FlushResult> _source;
    private CancellationTokenRegistration _registration;
    private CancellationToken _token;
    private Exception? _completeException;
    private PostedDrain? _postedDrain;
    private long _lastFlush;
    private bool _lent;
    private bool _waiting;

    public ConnectionWriter(EpollConnection connection)
    {
        _connection = connection;
        _pauseAbove = connection.Shared.MaxWriteBufferSize;
        _resumeAt = _pauseAbove / 2;
        _queue = new SendQueue(connection.Blocks);
        _room.SetReady();
    }

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => _queue.Uncommitted;

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sizeHint);
        Enter();
        try
        {
            if (!_lent)
            {
                _word.Lend();
                _lent = true;
            }

            return _queue.GetRoom(sizeHint);
        }
        finally
        {
            Leave();
        }
    }

    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    public override void Advance(int bytes)
    {
        if (!_gate.TryEnter())
        {
            if (_gate.IsCompleted)
            {
                // Completed by someone else while the memory was out: its bytes are gone already.
                return;
            }

            ThrowHelper.ConcurrentWrites();
        }

        try
        {
            if (!_lent)
            {
                ArgumentOutOfRangeException.ThrowIfNotEqual(bytes, 0);
                return;
            }

            _queue.Advance(bytes);
        }
        finally
        {
            Leave();
        }
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<FlushResult>(cancellationToken);
        }

        if (_gate.IsCompleted)
        {
            // As on a pipe: there is nothing to flush any more, and no harm in asking.
            return new ValueTask<FlushResult>(new FlushResult(isCanceled: false, isCompleted: _word.IsClosed));
        }

        Enter();
        try
        {
            if (_waiting)
            {
                ThrowHelper.ConcurrentWrites();
            }

            CommitAndSend();
            if (_room.TakeCanceled())
            {
                return new ValueTask<FlushResult>(new FlushResult(isCanceled: true, isCompleted: _word.IsClosed));
            }

            if (!MustWait())
            {
                return new ValueTask<FlushResult>(new FlushResult(isCanceled: false, isCompleted: _word.IsClosed));
            }

            _source.Reset();
            _token = cancellationToken;
            _waiting = true;
        }
        finally
        {
            Leave();
        }

        ValueTask<FlushResult> pending = new(this, _source.Version);
        if (cancellationToken.CanBeCanceled)
        {
            _registration = cancellationToken.UnsafeRegister(static state => ((ConnectionWriter)state!).FireToken(), this);
        }

        if (!_room.TryWait())
        {
            // Room, a cancellation or the end came since we looked: then the resume is ours to owe.
            _connection.Resume(this);
        }

        return pending;
    }

    public override void CancelPendingFlush()
    {
        if (_room.Cancel())
        {
            _connection.Resume(this);
        }
    }

    public override void Complete(Exception? exception = null)
    {
        Interlocked.CompareExchange(ref _completeException, exception, null);
        if (_gate.Complete())
        {
            FinishCompletion();
        }
    }

    /// <summary>Sends what is marked. Any thread.</summary>
    public void SendMarked()
    {
        if (_word.IsMarked)
        {
            Send(returnsLoan: false);
        }
    }

    /// <summary>The kernel has room again. The loop.</summary>
    public void OnWritable()
    {
        if (_word.OnWritable())
        {
            Drain();
        }
    }

    public void OnWatchLook()
    {
        if (_word.Unwatch())
        {
            Send(returnsLoan: false);
        }
    }

    /// <summary>Nothing more will be sent: what is queued is discarded, and a flush that waits ends. Any thread.</summary>
    public void Close()
    {
        if (_word.Close())
        {
            Drain();
        }

        if (_room.Close())
        {
            _connection.Resume(this);
        }
    }

    /// <summary>The resume: completes the flush that waits, which runs the application.</summary>
    public void Execute()
    {
        try
        {
            CompletePendingFlush();
        }
#pragma warning disable CA1031 // Ours or a continuation's: it ends this connection, not the thread and its other connections.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _connection.OnFault(exception);
        }
    }

    FlushResult IValueTaskSource<FlushResult>.GetResult(short token) => _source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<FlushResult>.GetStatus(short token) => _source.GetStatus(token);

    // As a Pipe made with useSynchronizationContext: false: scheduling decides the thread, not the awaiting caller.
    void IValueTaskSource<FlushResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags & ~ValueTaskSourceOnCompletedFlags.UseSchedulingContext);

    private void CommitAndSend()
    {
        _queue.Commit();
        _lent = false;
        if (_queue.Unsent >= GatherLimit)
        {
            Send(returnsLoan: true);
        }
        else if (_connection.InOwnDispatch)
        {
            // With input left, the dispatch goes on to the next response, and sends both at its end at the latest.
            if (!_connection.Reader.HasMoreInput || !TryMark())
            {
                Send(returnsLoan: true);
            }
        }
        else
        {
            long now = Stopwatch.GetTimestamp();
            bool closeBehind = now - _lastFlush < s_gatherWindow;
            _lastFlush = now;
            if (closeBehind && TryMark())
            {
                // After the mark, which it is to find.
                (_postedDrain ??= new PostedDrain(this)).Post();
            }
            else
            {
                Send(returnsLoan: true);
            }
        }
    }

    // False: closed, so that there is nothing to gather for.
    private bool TryMark()
    {
        MarkOutcome outcome = _word.Mark();
        if (outcome == MarkOutcome.Watch)
        {
            _connection.Shared.Watch.Add(this);
        }

        return outcome != MarkOutcome.Closed;
    }

    private void Send(bool returnsLoan)
    {
        if (_word.TryBegin(returnsLoan) == BeginSend.Mine)
        {
            Drain();
        }
    }

    // The sender, until the word says that it no longer is.
    private void Drain()
    {
        while (true)
        {
            if (!TrySendAll())
            {
                SignalRoom();
                return;
            }

            EndSend end = _word.TryEnd();
            if (end == EndSend.Again)
            {
                continue;
            }

            if (end == EndSend.Reclaim)
            {
                _queue.Free();
                bool all = _completing;
                if (_word.EndReclaim())
                {
                    continue;
                }

                if (all)
                {
                    _connection.OnAllSent();
                }
            }

            SignalRoom();
            return;
        }
    }

    // False: the kernel is full and the loop sends the rest; this thread is no longer the sender.
    private bool TrySendAll()
    {
        while (_queue.Unsent > 0)
        {
            if (_word.IsClosed)
            {
                _queue.Discard();
                continue;
            }

            // Before the send: an edge that comes from here on is remembered.
            _word.ClearWritable();
            if (!_connection.TryEnterDescriptor(out int descriptor))
            {
                _queue.Discard();
                continue;
            }

            IoResult sent;
            try
            {
                sent = _queue.SendOnce(descriptor);
                if (sent.WouldBlock)
                {
                    _connection.AskForWritable(descriptor);
                }
            }
            finally
            {
                _connection.LeaveDescriptor();
            }

            if (sent.WouldBlock)
            {
                if (_word.TryBlock())
                {
                    return false;
                }
            }
            else if (sent.IsError)
            {
                // Ends in Close, which tells this thread, the sender, to look again: it discards the rest.
                _connection.OnSendError(sent.Errno);
            }
        }

        return true;
    }

    // After the sender has left, which fenced: a flush that waits, or is about to, either sees the sent mark or is
    // seen here. The writing side clears Ready and then reads the sent mark.
    private void SignalRoom()
    {
        if (!_room.IsReady && _queue.Unsent <= _resumeAt && _room.SetReady())
        {
            _connection.Resume(this);
        }
    }

    private bool MustWait()
    {
        if (_queue.Unsent <= _pauseAbove || _word.IsClosed)
        {
            return false;
        }

        _room.ClearReady();
        if (_queue.Unsent > _resumeAt)
        {
            return true;
        }

        _room.SetReady();
        return false;
    }

    private void CompletePendingFlush()
    {
        while (!_room.IsClosed && !_room.IsCanceled && !_room.IsTokenFired && _queue.Unsent > _resumeAt)
        {
            _room.ClearReady();
            if (_queue.Unsent > _resumeAt && _room.TryWait())
            {
                return;
            }
        }

        // Waits for a callback that runs at this moment, so that it can't end the next wait.
        _registration.Dispose();
        _registration = default;
        bool fired = _room.TakeTokenFired();
        CancellationToken token = _token;
        _token = default;
        bool canceled = _room.TakeCanceled();
        bool closed = _word.IsClosed;
        _waiting = false;
        if (fired && !canceled && !closed && _queue.Unsent > _resumeAt)
        {
            _source.SetException(new OperationCanceledException(token));
        }
        else
        {
            _source.SetResult(new FlushResult(canceled, closed));
        }
    }

    private void FinishCompletion()
    {
        _queue.Commit();
        _lent = false;
        _completing = true;
        if (_completeException is { } exception)
        {
            _connection.OnWriterFailed(exception);
        }

        Send(returnsLoan: true);
    }

    private void FireToken()
    {
        if (_room.FireToken())
        {
            _connection.Resume(this);
        }
    }

    private void Enter()
    {
        if (!_gate.TryEnter())
        {
            if (_gate.IsCompleted)
            {
                ThrowHelper.WritingCompleted();
            }

            ThrowHelper.ConcurrentWrites();
        }
    }

    private void Leave()
    {
        if (_gate.Leave())
        {
            FinishCompletion();
        }
    }

    /// <summary>A drain on the loop, not on the pool: blocked handlers may have starved that.</summary>
    /// <remarks>
    /// Posted once until it runs. It clears the flag (a fence) and then looks for a mark; a flush marks (a fence) and
    /// then looks at the flag: either the drain finds the mark, or the flush posts again.
    /// </remarks>
    private sealed class PostedDrain(ConnectionWriter writer) : IThreadPoolWorkItem
    {
        private int _posted;

        public void Post()
        {
            if (Volatile.Read(ref _posted) == 0 && Interlocked.Exchange(ref _posted, 1) == 0)
            {
                writer._connection.PostToLoop(this);
            }
        }

        public void Execute()
        {
            Interlocked.Exchange(ref _posted, 0);
            writer.SendMarked();
        }
    }
}
