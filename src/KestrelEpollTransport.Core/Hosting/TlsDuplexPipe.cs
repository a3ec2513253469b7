using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;

namespace KestrelEpollTransport.Hosting;

/// <summary>The plain bytes of a TLS connection. For one reader and one writer.</summary>
internal sealed class TlsDuplexPipe(SslStream tls, MemoryPool<byte> pool) : IDuplexPipe
{
    /// <remarks>A read of no bytes comes first, so that a connection that is idle holds no buffer.</remarks>
    public PipeReader Input { get; } = PipeReader.Create(tls, new StreamPipeReaderOptions(pool, leaveOpen: true, useZeroByteReads: true));

    public TlsWriter Output { get; } = new(tls, pool);

    PipeWriter IDuplexPipe.Output => Output;
}
