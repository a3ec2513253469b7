namespace StressTool;

/// <summary>The transport did what it must not do.</summary>
internal sealed class StressFailureException(string message) : Exception(message);
