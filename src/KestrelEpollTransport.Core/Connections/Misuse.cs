namespace KestrelEpollTransport.Connections;

/// <summary>The misuses of a pipe: the same exception types as System.IO.Pipelines.Pipe throws.</summary>
internal static class Misuse
{
    public static InvalidOperationException InvalidPosition() =>
        new("The examined or consumed position is not within the buffer of the last read, or they are in the wrong order.");

    public static InvalidOperationException ReadingCompleted() =>
        new("Reading is not allowed after the reader was completed.");

    public static InvalidOperationException AlreadyReading() =>
        new("Reading is already in progress: one read at a time, and AdvanceTo between two reads.");

    public static InvalidOperationException NotReading() =>
        new("There is no read to complete: call AdvanceTo once after each read.");

    public static InvalidOperationException WritingCompleted() =>
        new("Writing is not allowed after the writer was completed.");

    public static InvalidOperationException AwaitedTwice() =>
        new("A read or a flush may be awaited once, by one caller, and before the next one begins.");

    public static InvalidOperationException NoResult() =>
        new("The result was taken, or the operation is pending: to block until it ends, use AsTask().");

    public static InvalidOperationException BlocksItsLoop() =>
        new("A read or a flush was waited for on the thread of the loop that would have ended it, which with UnsafeInline scheduling nobody else "
            + "can: await it (no synchronous reads or writes of the body, no Result, no Wait), or use Adaptive scheduling.");
}
