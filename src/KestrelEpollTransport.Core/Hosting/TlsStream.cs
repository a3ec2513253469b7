using System.Net.Security;
using System.Runtime.CompilerServices;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;

namespace KestrelEpollTransport.Hosting;

/// <summary>
/// TLS whose failures say whose they are: what a client does wrong, a record that is cut short or that can't be decrypted, ends the connection as its
/// reset does. One read and one write may be in progress at a time.
/// </summary>
internal sealed class TlsStream(Stream inner) : SslStream(inner, leaveInnerStreamOpen: true)
{
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
    private static async ValueTask<int> AwaitAsync(ValueTask<int> read)
    {
        try
        {
            return await read.ConfigureAwait(false);
        }
        catch (IOException exception) when (IsOfTls(exception))
        {
            throw new ConnectionResetException(exception.Message, exception);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private static async ValueTask AwaitAsync(ValueTask written)
    {
        try
        {
            await written.ConfigureAwait(false);
        }
        catch (IOException exception) when (IsOfTls(exception))
        {
            throw new ConnectionResetException(exception.Message, exception);
        }
    }

    /// <summary>What the stream below threw, which may be the handler's own mistake, is the inner exception.</summary>
    private static bool IsOfTls(IOException exception) =>
        exception is not ConnectionResetException
        && (exception.InnerException is null or AuthenticationException || exception.InnerException.GetType().Assembly == typeof(SslStream).Assembly);
}
