namespace TransportBench.Processes;

/// <summary>A figure can't be had: a process failed, or answers were wrong. The message is for the reader of the run.</summary>
internal sealed class LoadFailedException(string message, Exception? inner = null) : Exception(message, inner);
