namespace KestrelEpollTransport.LoadShedding;

/// <summary>What changed with a request.</summary>
internal enum OverloadNews
{
    None,
    Began,
    Ended,
}
