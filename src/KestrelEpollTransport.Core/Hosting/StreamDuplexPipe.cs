using System.Buffers;
using System.IO.Pipelines;

namespace KestrelEpollTransport.Hosting;

/// <summary>A stream as a duplex pipe, with the framework's adapters. For one reader and one writer.</summary>
internal sealed class StreamDuplexPipe(Stream stream, MemoryPool<byte> pool) : IDuplexPipe
{
    /// <remarks>A read of no bytes comes first, so that a connection that is idle holds no buffer.</remarks>
    public PipeReader Input { get; } = PipeReader.Create(stream, new StreamPipeReaderOptions(pool, leaveOpen: true, useZeroByteReads: true));

    public PipeWriter Output { get; } = PipeWriter.Create(stream, new StreamPipeWriterOptions(pool, leaveOpen: true));
}
