namespace RandomEnds.Running;

/// <summary>A case can't go on: what its next step counts on did not happen.</summary>
internal sealed class CaseFailedException(string message) : Exception(message);
