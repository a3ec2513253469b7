using System.Diagnostics.CodeAnalysis;

namespace KestrelEpollTransport.Connections;

/// <summary>The misuses of a pipe: the same exception types as System.IO.Pipelines.Pipe throws.</summary>
internal static class ThrowHelper
{
    [DoesNotReturn]
    public static void InvalidPosition() =>
        throw new InvalidOperationException("The examined or consumed position is not within the buffer of the last read, or they are in the wrong order.");

    [DoesNotReturn]
    public static void ReadingCompleted() => throw ReadingCompletedException();

    public static InvalidOperationException ReadingCompletedException() =>
        new("Reading is not allowed after the reader was completed.");

    [DoesNotReturn]
    public static void AlreadyReading() =>
        throw new InvalidOperationException("Reading is already in progress: one read at a time, and AdvanceTo between two reads.");

    [DoesNotReturn]
    public static void NotReading() =>
        throw new InvalidOperationException("There is no read to complete: call AdvanceTo once after each read.");

    [DoesNotReturn]
    public static void WritingCompleted() =>
        throw new InvalidOperationException("Writing is not allowed after the writer was completed.");

    [DoesNotReturn]
    public static void ConcurrentWrites() =>
        throw new InvalidOperationException("Concurrent writes or flushes are not supported.");

    [DoesNotReturn]
    public static void AwaitedTwice() =>
        throw new InvalidOperationException("A read or a flush may be awaited once, by one caller, and before the next one begins.");

    [DoesNotReturn]
    public static void NoResult() =>
        throw new InvalidOperationException("The result was taken, or the operation is pending: to block until it ends, use AsTask().");

    public static InvalidOperationException BlocksItsLoop() =>
        new("A read or a flush was waited for on the thread of the loop that would have ended it, which with UnsafeInline scheduling nobody else "
            + "can: await it (no synchronous reads or writes of the body, no Result, no Wait), or use Adaptive scheduling.");
}
