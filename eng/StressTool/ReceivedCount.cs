namespace StressTool;

/// <summary>How much a client has received, seen from outside of it.</summary>
internal sealed class ReceivedCount
{
    public long Bytes { get; set; }
}
