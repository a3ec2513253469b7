using System.Net.Security;
using System.Runtime.CompilerServices;
using System.Security.Authentication;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Hosting;

/// <summary>
/// TLS whose failures say whose they are: what a client does wrong, a record that is cut short or that can't be decrypted, ends the connection as its
/// reset does. One read and one write may be in progress at a time.
/// </summary>
internal sealed class TlsStream(DuplexPipeStream inner) : SslStream(inner, leaveInnerStreamOpen: true)
{
    /// <summary>Whether the client is why it was thrown. What the stream below threw may be the server's own mistake, unless it is a reset.</summary>
    public bool IsOfClient(Exception exception) =>
        exception is ConnectionResetException
        || (exception is IOException or AuthenticationException or CryptographicException && !((DuplexPipeStream)InnerStream).HasThrown(exception));

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        ValueTask<int> read = base.ReadAsync(buffer, cancellationToken);
        return read.IsCompletedSuccessfully ? read : AwaitAsync(read);
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        ValueTask written = base.WriteAsync(buffer, cancellationToken);
        return written.IsCompletedSuccessfully ? written : AwaitAsync(written);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> AwaitAsync(ValueTask<int> read)
    {
        try
        {
            return await read.ConfigureAwait(false);
        }
        catch (IOException exception) when (exception is not ConnectionResetException && IsOfClient(exception))
        {
            throw new ConnectionResetException(exception.Message, exception);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask AwaitAsync(ValueTask written)
    {
        try
        {
            await written.ConfigureAwait(false);
        }
        catch (IOException exception) when (exception is not ConnectionResetException && IsOfClient(exception))
        {
            throw new ConnectionResetException(exception.Message, exception);
        }
    }
}
