namespace KestrelEpollTransport.FunctionalTests;

/// <summary>What carries the bytes of a connection.</summary>
public enum Wire
{
    Tcp,
    Unix,
}
