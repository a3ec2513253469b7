using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Hosting;

/// <summary>A duplex pipe as a stream. One read and one write may be in progress at a time.</summary>
/// <remarks>Reading is the framework's. Writing is not: that of the framework goes on without a word when the other side has ended.</remarks>
internal sealed class DuplexPipeStream(IDuplexPipe transport) : Stream
{
    private readonly PipeWriter _output = transport.Output;
    private readonly Stream _reads = transport.Input.AsStream();
    private volatile bool _isDisposed;

    // The reader's, and the writer's.
    private Exception? _readError;
    private Exception? _writeError;

    public override bool CanRead => !_isDisposed;

    public override bool CanWrite => !_isDisposed;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    private Stream Reads
    {
        get
        {
            ThrowIfDisposed();
            return _reads;
        }
    }

    /// <summary>Whether it comes, by itself or within others, from the last asynchronous read or write that failed.</summary>
    public bool HasThrown(Exception? exception) =>
        exception is not null && (exception == _readError || exception == _writeError || HasThrown(exception.InnerException));

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        try
        {
            return await Reads.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            _readError = exception;
            throw;
        }
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        Reads.ReadAsync(buffer, offset, count, cancellationToken);

    public override int Read(Span<byte> buffer) => Reads.Read(buffer);

    public override int Read(byte[] buffer, int offset, int count) => Reads.Read(buffer, offset, count);

    public override int ReadByte() => Reads.ReadByte();

    public override IAsyncResult BeginRead(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state) =>
        Reads.BeginRead(buffer, offset, count, callback, state);

    public override int EndRead(IAsyncResult asyncResult) => Reads.EndRead(asyncResult);

    /// <summary>Without a buffer between the two.</summary>
    public override Task CopyToAsync(Stream destination, int bufferSize, CancellationToken cancellationToken) =>
        Reads.CopyToAsync(destination, bufferSize, cancellationToken);

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        try
        {
            ThrowIfDisposed();

            // In two steps: what is written is kept whether or not the flush is cancelled.
            _output.Write(buffer.Span);
            Check(await _output.FlushAsync(cancellationToken).ConfigureAwait(false));
        }
        catch (Exception exception)
        {
            _writeError = exception;
            throw;
        }
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        ValidateBufferArguments(buffer, offset, count);
        return WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        ThrowIfDisposed();
        _output.Write(buffer);
        Flush();
    }

    public override void Write(byte[] buffer, int offset, int count)
    {
        ValidateBufferArguments(buffer, offset, count);
        Write(buffer.AsSpan(offset, count));
    }

    public override void WriteByte(byte value) => Write([value]);

    public override IAsyncResult BeginWrite(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state) =>
        TaskToAsyncResult.Begin(WriteAsync(buffer, offset, count, CancellationToken.None), callback, state);

    public override void EndWrite(IAsyncResult asyncResult) => TaskToAsyncResult.End(asyncResult);

    public override async Task FlushAsync(CancellationToken cancellationToken)
    {
        ThrowIfDisposed();
        Check(await _output.FlushAsync(cancellationToken).ConfigureAwait(false));
    }

    public override void Flush() => FlushAsync(CancellationToken.None).GetAwaiter().GetResult();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    /// <summary>Completes both ends of the pipe, once.</summary>
    protected override void Dispose(bool disposing)
    {
        if (disposing && !_isDisposed)
        {
            _isDisposed = true;
            _reads.Dispose();
            _output.Complete();
        }

        base.Dispose(disposing);
    }

    /// <summary>The same for pipes that have something to do when they are completed.</summary>
    public override async ValueTask DisposeAsync()
    {
        if (!_isDisposed)
        {
            _isDisposed = true;
            await _reads.DisposeAsync().ConfigureAwait(false);
            await _output.CompleteAsync().ConfigureAwait(false);
        }

        await base.DisposeAsync().ConfigureAwait(false);
    }

    private static void Check(FlushResult result)
    {
        if (result.IsCanceled)
        {
            throw new OperationCanceledException("The flush was cancelled by PipeWriter.CancelPendingFlush().");
        }

        if (result.IsCompleted)
        {
            throw new ConnectionResetException("The connection has ended: what is written does not arrive any more.");
        }
    }

    private void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(_isDisposed, this);
}
