namespace TransportBench.Processes;

/// <summary>A figure can't be had: a process failed, or answers were wrong. The message is for the reader of the run.</summary>
internal sealed class LoadFailedException(string message, Exception? inner = null) : Exception(Shorten(message), inner)
{
    private const int LongestMessage = 1500;

    // A server that logs an error for each request would bury everything else.
    private static string Shorten(string message) =>
        message.Length <= LongestMessage ? message : $"{message[..LongestMessage]} ...";
}
