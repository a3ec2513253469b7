using System.Runtime.ExceptionServices;

namespace KestrelEpollTransport.Connections;

/// <summary>How the reads of a connection end.</summary>
/// <param name="Failure">What they throw; null: the end of a stream whose every byte was received.</param>
/// <param name="AtOnce">Our own end: also with bytes in the buffer. False: when the buffer has been read.</param>
internal sealed record ReaderEnd(ExceptionDispatchInfo? Failure, bool AtOnce = false)
{
    public static ReaderEnd EndOfStream { get; } = new(Failure: null);
}
