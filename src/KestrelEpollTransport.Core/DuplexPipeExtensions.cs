using System.IO.Pipelines;
using KestrelEpollTransport.Hosting;

namespace Microsoft.AspNetCore.Connections;

/// <summary>Shows a connection as a stream, for whoever asks for one.</summary>
public static class DuplexPipeExtensions
{
    /// <summary>
    /// The two pipes of a connection as one <see cref="Stream"/>: for an <c>SslStream</c>, a <c>StreamReader</c>, or a protocol that someone else wrote.
    /// One read and one write may be in progress at a time.
    /// </summary>
    /// <remarks>
    /// <para>A read takes what is there and no more, waits while nothing is, and returns 0 at the end; one into an empty buffer waits for bytes and
    /// takes none. A write is flushed at once, and waits while the other side does not read. When the connection was reset or aborted, both
    /// throw what the pipes throw; writing to one that has ended is a <see cref="ConnectionResetException"/>.</para>
    /// <para>A token that is cancelled ends a wait, and the connection goes on: a read that was cancelled has taken nothing, but what a write
    /// that was cancelled had is sent. There are no time-outs (<see cref="Stream.CanTimeout"/> is false): cancel instead.</para>
    /// <para>Synchronous calls block their thread until they are done. With <see cref="KestrelEpollTransport.ApplicationScheduling.UnsafeInline"/>
    /// that may be the thread which has to receive; then they throw an <see cref="InvalidOperationException"/>.</para>
    /// <para>Disposing completes both pipes, which ends the connection once what was written is sent. The pipes are not to be used beside the
    /// stream.</para>
    /// </remarks>
    /// <param name="transport">The pipes, as <see cref="ConnectionContext.Transport"/> has them.</param>
    /// <returns>The stream.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="transport"/> is null.</exception>
    public static Stream AsStream(this IDuplexPipe transport)
    {
        ArgumentNullException.ThrowIfNull(transport);
        return new DuplexPipeStream(transport);
    }
}
