using System.Buffers;
using System.IO.Pipelines;

namespace KestrelEpollTransport.ConnectionLimits;

/// <summary>The pipe of a connection, which notes that something was read or written, and else passes on what it is asked. For who may use the pipe.</summary>
internal sealed class WatchedPipe(IDuplexPipe inner, TimedConnection timed) : IDuplexPipe
{
    private readonly Reader _input = new(inner.Input, timed);

    public PipeReader Input => _input;

    public PipeWriter Output { get; } = new Writer(inner.Output, timed);

    /// <summary>Another pipe is in front of it from now on: what is read from it tells of no request any more.</summary>
    public void Cover() => _input.IsCovered = true;

    private sealed class Reader(PipeReader inner, TimedConnection timed) : PipeReader
    {
        public bool IsCovered { get; set; }

        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) => inner.ReadAsync(cancellationToken);

        public override bool TryRead(out ReadResult result) => inner.TryRead(out result);

        public override void AdvanceTo(SequencePosition consumed)
        {
            Note();
            inner.AdvanceTo(consumed);
        }

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
        {
            Note();
            inner.AdvanceTo(consumed, examined);
        }

        protected override ValueTask<ReadResult> ReadAtLeastAsyncCore(int minimumSize, CancellationToken cancellationToken) =>
            inner.ReadAtLeastAsync(minimumSize, cancellationToken);

        public override void CancelPendingRead() => inner.CancelPendingRead();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        public override ValueTask CompleteAsync(Exception? exception = null) => inner.CompleteAsync(exception);

        private void Note()
        {
            if (IsCovered)
            {
                timed.NoteActivity();
            }
            else
            {
                timed.NoteRead();
            }
        }
    }

    private sealed class Writer(PipeWriter inner, TimedConnection timed) : PipeWriter
    {
        public override bool CanGetUnflushedBytes => inner.CanGetUnflushedBytes;

        public override long UnflushedBytes => inner.UnflushedBytes;

        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

        public override void Advance(int bytes) => inner.Advance(bytes);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            timed.NoteActivity();
            return inner.FlushAsync(cancellationToken);
        }

        public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
        {
            timed.NoteActivity();
            return inner.WriteAsync(source, cancellationToken);
        }

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        public override ValueTask CompleteAsync(Exception? exception = null) => inner.CompleteAsync(exception);
    }
}
