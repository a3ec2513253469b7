using System.Diagnostics;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;
using KestrelEpollTransport.Scheduling;

namespace KestrelEpollTransport.Connections;

/// <summary>
/// The writing end of a connection: a <see cref="PipeWriter"/> whose flush sends straight from the pooled blocks that
/// the application filled, on the caller's thread where it can.
/// </summary>
/// <remarks>
/// A flush sends at once, or it only <i>marks</i>, so that what is produced together leaves together: in the connection's
/// own dispatch (the pieces of a response, and pipelined responses), and when flushes from elsewhere follow each
/// other closely (HTTP/2 frames). Marked bytes leave when the reader is about to wait, when the dispatch
/// returns, when <see cref="ConnectionShared.GatherBelow"/> bytes are queued, with a drain that is posted, or at the next look of the
/// watch: whichever comes first.
/// <para>As with any pipe, one thread writes at a time; <see cref="CancelPendingFlush"/> and <see cref="Complete"/> are for any
/// thread. <see cref="Sender"/> sends.</para>
/// </remarks>
internal sealed class ConnectionWriter : PipeWriter, IValueTaskSource<FlushResult>, IResumable, IWatchedFlush
{
    /// <summary>A flush that follows another one within this time is gathered.</summary>
    private static readonly long s_gatherWindow = Stopwatch.Frequency / 20_000;

    // Immutable.
    private readonly EpollConnection _connection;

    // Shared words.
    private Sender _sender;
    private AwaitWord _room;
    private UseGate _gate;
    private volatile bool _gathering;

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
        _sender = new Sender(connection);
        _room.SetReady();
    }

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => _sender.Uncommitted;

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sizeHint);
        Enter();
        try
        {
            if (!_lent)
            {
                _sender.Lend();
                _lent = true;
            }

            return _sender.GetRoom(sizeHint);
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

            _sender.Advance(bytes);
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
            return new ValueTask<FlushResult>(new FlushResult(isCanceled: false, isCompleted: _sender.IsClosed));
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
                return new ValueTask<FlushResult>(new FlushResult(isCanceled: true, isCompleted: _sender.IsClosed));
            }

            if (!MustWait())
            {
                return new ValueTask<FlushResult>(new FlushResult(isCanceled: false, isCompleted: _sender.IsClosed));
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
    public void SendMarked() => _sender.SendMarked();

    /// <summary>The kernel has room again. The loop.</summary>
    public void OnWritable() => _sender.OnWritable();

    public bool IsDue() => _sender.TryUnwatch();

    public void SendDue() => _sender.SendMarked();

    /// <summary>
    /// Some bytes were sent. Called after the sender has left, which fenced: a flush that waits, or is about to, either
    /// sees what was sent or is seen here. The writing side clears Ready and then looks at what is unsent.
    /// </summary>
    public void OnSent()
    {
        if (!_room.IsReady && _sender.Unsent <= _connection.Shared.ResumeFlushAt && _room.SetReady())
        {
            _connection.Resume(this);
        }
    }

    /// <summary>Nothing more will be sent: what is queued is discarded, and a flush that waits ends. Any thread.</summary>
    public void Close()
    {
        _sender.Close();
        if (_room.Close())
        {
            _connection.Resume(this);
        }
    }

    ref DispatchProfile IResumable.Profile => ref _connection.Profile;

    public void OnLoop() => _connection.ResumeFromLoop(this);

    public void OnHandedOff(bool isBlocked) => _connection.OnHandedOff(isBlocked);

    public bool TryLogHandOff(int loop, TimeSpan blocked) => _connection.TryLogHandOff(loop, blocked);

    /// <summary>The resume: completes the flush that waits, which runs the application.</summary>
    public void Execute()
    {
        try
        {
            long began = _connection.Profile.Begin();
            CompletePendingFlush();
            _connection.Profile.End(began, 1);
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
        _sender.Commit();
        _lent = false;
        if (_sender.Unsent >= _connection.Shared.GatherBelow || !ShouldGather(out bool postsDrain) || !_sender.TryMark())
        {
            _sender.Send(returnsLoan: true);
        }
        else if (postsDrain)
        {
            // After the mark, which it is to find.
            (_postedDrain ??= new PostedDrain(this)).Post();
        }
    }

    private bool ShouldGather(out bool postsDrain)
    {
        // The connection's dispatch sends at its end, and the reader before it waits. One response is often several
        // flushes (Kestrel ends a chunked one with a flush of its own), and pipelined ones follow each other.
        postsDrain = !_connection.InOwnDispatch;
        if (!postsDrain || _gathering)
        {
            return true;
        }

        long now = Stopwatch.GetTimestamp();
        bool closeBehind = now - _lastFlush < s_gatherWindow;
        _lastFlush = now;
        return closeBehind;
    }

    private bool MustWait()
    {
        if (_sender.Unsent <= _connection.Shared.MaxWriteBufferSize || _sender.IsClosed)
        {
            return false;
        }

        _room.ClearReady();
        if (_sender.Unsent > _connection.Shared.ResumeFlushAt)
        {
            return true;
        }

        _room.SetReady();
        return false;
    }

    private void CompletePendingFlush()
    {
        while (!_room.IsClosed && !_room.IsCanceled && !_room.IsTokenFired && _sender.Unsent > _connection.Shared.ResumeFlushAt)
        {
            _room.ClearReady();
            if (_sender.Unsent > _connection.Shared.ResumeFlushAt && _room.TryWait())
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
        bool closed = _sender.IsClosed;
        _waiting = false;
        if (fired && !canceled && !closed && _sender.Unsent > _connection.Shared.ResumeFlushAt)
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
        _sender.Commit();
        _lent = false;
        if (_completeException is { } exception)
        {
            _connection.OnWriterFailed(exception);
        }

        _sender.Complete();
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

    /// <summary>
    /// A drain behind the work that waits in the thread pool. That work is often what produces the next flushes (the other
    /// streams of an HTTP/2 connection), so that most of a burst leaves in one send. Should blocked handlers have
    /// starved the pool, the watch sends.
    /// </summary>
    /// <remarks>
    /// Posted once until it runs. It clears the count (a fence) and then looks for a mark; a flush marks (a fence) and
    /// then counts: either the drain finds the mark, or the flush posts again.
    /// </remarks>
    private sealed class PostedDrain(ConnectionWriter writer) : IThreadPoolWorkItem
    {
        private int _flushes;

        public void Post()
        {
            if (Interlocked.Increment(ref _flushes) == 1)
            {
                ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
            }
        }

        public void Execute()
        {
            // A burst is likely to be followed by another: its first flush need not go alone.
            writer._gathering = Interlocked.Exchange(ref _flushes, 0) > 1;
            writer.SendMarked();
        }
    }
}
