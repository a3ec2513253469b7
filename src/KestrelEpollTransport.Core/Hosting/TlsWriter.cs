using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;

namespace KestrelEpollTransport.Hosting;

/// <summary>
/// The writing end of a TLS connection. The framework's adapter offers the stream once more what it offered when a flush was cancelled; but TLS
/// has numbered that, and it is on its way: the client would get it twice.
/// </summary>
/// <remarks>For one writer; <see cref="CancelPendingFlush"/> is for any thread.</remarks>
/// <param name="tls">Over a <see cref="DuplexPipeStream"/>, which keeps what is written, whether or not its flush is cancelled.</param>
/// <param name="pool">Where blocks come from.</param>
#pragma warning disable CA1001 // A token source without a timer needs no disposal.
internal sealed class TlsWriter(SslStream tls, MemoryPool<byte> pool) : PipeWriter
#pragma warning restore CA1001
{
    /// <summary>The most bytes of a record (RFC 8446, 5.1): each write is one, and so one write below.</summary>
    private const int MaxRecord = 16 * 1024;

    // Only a buffer: it never waits.
    private readonly Pipe _buffer = new(new PipeOptions(pool, pauseWriterThreshold: 0, useSynchronizationContext: false));

    private volatile CancellationTokenSource _pending = new();
    private long _unflushed;
    private bool _isCompleted;

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => _unflushed;

    public override Memory<byte> GetMemory(int sizeHint = 0) => _buffer.Writer.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => _buffer.Writer.GetSpan(sizeHint);

    public override void Advance(int bytes)
    {
        _buffer.Writer.Advance(bytes);
        _unflushed += bytes;
    }

    /// <summary>In records as large as they may be.</summary>
    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        for (int length; !source.IsEmpty; source = source[length..])
        {
            length = Math.Min(source.Length, MaxRecord);
            source.Span[..length].CopyTo(GetSpan(length));
            Advance(length);
        }

        return FlushAsync(cancellationToken);
    }

    public override async ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        CancellationTokenSource pending = _pending;
        using CancellationTokenSource? either = cancellationToken.CanBeCanceled ? CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, pending.Token) : null;
        CancellationToken token = (either ?? pending).Token;
        try
        {
            await SendAsync(token).ConfigureAwait(false);
            return default;
        }
        catch (OperationCanceledException) when (token.IsCancellationRequested)
        {
            cancellationToken.ThrowIfCancellationRequested();
            _pending = new CancellationTokenSource();
            return new FlushResult(isCanceled: true, isCompleted: false);
        }
    }

    public override void CancelPendingFlush() => _pending.Cancel();

    /// <summary>Blocks until all is sent.</summary>
    public override void Complete(Exception? exception = null) => CompleteAsync(exception).AsTask().GetAwaiter().GetResult();

    public override async ValueTask CompleteAsync(Exception? exception = null)
    {
        if (_isCompleted)
        {
            return;
        }

        try
        {
            if (exception is null)
            {
                await SendAsync(CancellationToken.None).ConfigureAwait(false);
            }
        }
        finally
        {
            _isCompleted = true;
            await _buffer.Writer.CompleteAsync().ConfigureAwait(false);
            await _buffer.Reader.CompleteAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask SendAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (_isCompleted)
        {
            return;
        }

        await _buffer.Writer.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        while (_buffer.Reader.TryRead(out ReadResult read))
        {
            ReadOnlyMemory<byte> record = FirstRecord(read.Buffer);
            try
            {
                await tls.WriteAsync(record, cancellationToken).ConfigureAwait(false);
            }
            finally
            {
                // One that is cancelled is made all the same: what is cancelled is its wait for room.
                _buffer.Reader.AdvanceTo(read.Buffer.GetPosition(record.Length));
                _unflushed -= record.Length;
            }
        }
    }

    // Not empty, as nobody reads a buffer that is; though its first segment may be.
    private static ReadOnlyMemory<byte> FirstRecord(in ReadOnlySequence<byte> buffer)
    {
        SequencePosition next = buffer.Start;
        ReadOnlyMemory<byte> segment;
        while (buffer.TryGet(ref next, out segment) && segment.IsEmpty)
        {
        }

        return segment[..Math.Min(segment.Length, MaxRecord)];
    }
}
