using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using System.Runtime.ExceptionServices;

namespace KestrelEpollTransport.Hosting;

/// <summary>
/// The writing end of a TLS connection. A cancelled flush ends its wait and nothing else: TLS has numbered what it was given, and the
/// framework's adapter would offer it once more.
/// </summary>
/// <remarks>
/// <para>For one writer; completing is for any thread while a flush is in progress, and <see cref="CancelPendingFlush"/> always. Who has the
/// turn has <c>tls</c> and the reading end of the buffer, to its end too: blocks that are being encrypted do not go back to the pool.</para>
/// <code>
/// state                      the turn        the writer                     completing            completing with an exception
/// idle                       free            fills; a flush sends           sends the rest        fails
/// sending                    the flush's     waits                          sends after it        fails; the record is the last
/// sending, wait cancelled    that flush's    fills; a flush sends after it  sends after it        fails; the record is the last
/// completed, all is sent     free            a flush does nothing           nothing               fails
/// failed, by TLS too         free            a flush throws the failure     throws it             nothing
/// </code>
/// </remarks>
/// <param name="tls">What sends. It is never given a token.</param>
/// <param name="pool">Where blocks come from.</param>
#pragma warning disable CA1001 // A token source without a timer needs no disposal, nor a semaphore without a handle.
internal sealed class TlsWriter(SslStream tls, MemoryPool<byte> pool) : PipeWriter
#pragma warning restore CA1001
{
    /// <summary>The most bytes of a record (RFC 8446, 5.1): each write is one, and so one write below.</summary>
    private const int MaxRecord = 16 * 1024;

    // Only a buffer: it never waits.
    private readonly Pipe _buffer = new(new PipeOptions(pool, pauseWriterThreshold: 0, useSynchronizationContext: false));
    private readonly SemaphoreSlim _turn = new(1);

    private volatile CancellationTokenSource _pending = new();
    private volatile Exception? _failure;

    // Who has the turn.
    private bool _isEnded;

    /// <summary>Why not all was sent. Any thread.</summary>
    public Exception? Failure => _failure;

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => _buffer.Writer.UnflushedBytes;

    public override Memory<byte> GetMemory(int sizeHint = 0) => _buffer.Writer.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => _buffer.Writer.GetSpan(sizeHint);

    public override void Advance(int bytes) => _buffer.Writer.Advance(bytes);

    /// <summary>In records as large as they may be, each sent before the next is copied; when it is cancelled, the next flush sends the rest.</summary>
    public override async ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        try
        {
            FlushResult result;
            do
            {
                CopyRecord(ref source);
                result = await FlushAsync(cancellationToken).ConfigureAwait(false);
            }
            while (!source.IsEmpty && !result.IsCanceled);
            return result;
        }
        finally
        {
            while (!source.IsEmpty && _failure is null)
            {
                CopyRecord(ref source);
            }
        }
    }

    public override async ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await _buffer.Writer.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        CancellationTokenSource pending = _pending;
        Task sent = SendAsync();
        if (!sent.IsCompleted)
        {
            using CancellationTokenSource? either = cancellationToken.CanBeCanceled ? CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, pending.Token) : null;
            await sent.WaitAsync((either ?? pending).Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (!sent.IsCompleted)
        {
            cancellationToken.ThrowIfCancellationRequested();
        }

        ThrowIfFailed();
        if (!pending.IsCancellationRequested)
        {
            return default;
        }

        _pending = new CancellationTokenSource();
        return new FlushResult(isCanceled: true, isCompleted: false);
    }

    /// <summary>The flush goes on elsewhere.</summary>
    public override void CancelPendingFlush() => _ = _pending.CancelAsync();

    /// <summary>Does not wait until all is sent; <see cref="CompleteAsync"/> does.</summary>
    public override void Complete(Exception? exception = null) => _ = EndAsync(exception);

    public override async ValueTask CompleteAsync(Exception? exception = null)
    {
        Task sent = EndAsync(exception);
        if (exception is null)
        {
            await sent.ConfigureAwait(false);
            ThrowIfFailed();
        }
    }

    private void CopyRecord(ref ReadOnlyMemory<byte> source)
    {
        int length = Math.Min(source.Length, MaxRecord);
        source.Span[..length].CopyTo(GetSpan(length));
        Advance(length);
        source = source[length..];
    }

    private void ThrowIfFailed()
    {
        if (_failure is { } failure)
        {
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    private Task EndAsync(Exception? exception)
    {
        _failure ??= exception;
        _buffer.Writer.Complete();
        return SendAsync();
    }

    /// <summary>Sends all that there is, in its turn. Does not throw: nobody may be waiting any more.</summary>
    private async Task SendAsync()
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            while (!_isEnded && _buffer.Reader.TryRead(out ReadResult read))
            {
                ReadOnlyMemory<byte> record = FirstRecord(read.Buffer);
                _isEnded = _failure is not null || (record.IsEmpty && read.IsCompleted);
                if (!_isEnded)
                {
                    await tls.WriteAsync(record).ConfigureAwait(false);
                    _buffer.Reader.AdvanceTo(read.Buffer.GetPosition(record.Length));
                }
            }
        }
#pragma warning disable CA1031 // Whatever it is, it is kept for who flushes or completes.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _failure ??= exception;
            _isEnded = true;
        }

        if (_isEnded)
        {
            await _buffer.Reader.CompleteAsync().ConfigureAwait(false);
        }

        _turn.Release();
    }

    // A buffer that is not empty may begin with a segment that is.
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
