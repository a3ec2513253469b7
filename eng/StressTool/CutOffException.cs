namespace StressTool;

/// <summary>Somebody cut the connection off, as was planned.</summary>
internal sealed class CutOffException() : IOException("cut off by plan");
